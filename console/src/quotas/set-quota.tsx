import {
  CapabilityProfiles,
  type QuotaFragment,
  type QuotaResource,
  SetQuota,
  successOf,
} from "@ai-job-server/sdk/client";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { faultsOf } from "../api/errors.ts";
import { useSession } from "../api/session.ts";
import { useAction } from "../api/use-action.ts";
import { Choice, TextInput } from "../ui/fields.tsx";
import { FormDialog } from "../ui/form-dialog.tsx";
import { inUnits, UNIT_NAMES, UNITS, type Unit } from "../ui/length.ts";
import { wholeIn } from "../ui/numbers.ts";
import { amountIn, amountTyped, RESOURCE_WORDS, RESOURCES } from "./amount.ts";

const DAY_S = 86_400;
/** The shortest time of a quota is a minute. */
const QUOTA_UNITS = UNIT_NAMES.filter((name) => name !== "second");

/** Sets a quota: a new one, or how much an old one allows. */
export function SetQuotaDialog({
  quota,
  onClose,
}: {
  readonly quota: QuotaFragment | null;
  readonly onClose: () => void;
}) {
  const { client, viewer } = useSession();
  const queries = useQueryClient();
  const action = useAction();
  const profiles = useQuery({
    queryKey: ["capability-profiles"],
    queryFn: async ({ signal }) => (await client.request(CapabilityProfiles, {}, { signal })).capabilityProfiles,
    enabled: quota === null,
  });
  const before = inUnits(quota?.windowSeconds ?? DAY_S);
  const [resource, setResource] = useState<QuotaResource>(quota?.resource ?? "COST");
  const [profile, setProfile] = useState(quota?.capabilityProfileId ?? "");
  const [max, setMax] = useState(quota ? amountTyped(quota.resource, quota.max) : "");
  const [count, setCount] = useState(String(before.count));
  const [unit, setUnit] = useState<Unit>(before.unit);
  const hasWindow = resource !== "ACTIVE_JOBS";
  const amount = amountIn(resource, max);
  const length = wholeIn(count);
  const faults = faultsOf(action.failure);
  const submit = () => {
    if (amount === null || (hasWindow && length === null)) return;
    const input = {
      resource,
      max: amount,
      ...(profile === "" ? {} : { capabilityProfileId: profile }),
      ...(hasWindow && length !== null ? { windowSeconds: length * UNITS[unit] } : {}),
    };
    action.run(async () => {
      successOf((await client.request(SetQuota, { input })).setQuota);
      await queries.invalidateQueries({ queryKey: ["quotas"] });
      onClose();
    });
  };
  return (
    <FormDialog
      title={quota ? "Change a quota" : "Set a quota"}
      verb="Set it"
      action={action}
      fields={["max", "windowSeconds"]}
      onSubmit={submit}
      onClose={onClose}
    >
      {quota ? (
        <p>
          {RESOURCE_WORDS[resource]} of <bdi>{quota.capabilityProfileId ?? "all jobs"}</bdi>
        </p>
      ) : (
        <>
          <Choice
            label="What it counts"
            options={RESOURCES.map((value) => ({ value, text: RESOURCE_WORDS[value] }))}
            value={resource}
            onChange={setResource}
          />
          <Choice
            label="Of which jobs"
            options={[
              { value: "", text: "All of the workspace" },
              ...(profiles.data ?? []).map(({ capabilityProfileId: id }) => ({ value: id, text: `Profile ${id}` })),
            ]}
            value={profile}
            onChange={setProfile}
          />
        </>
      )}
      <TextInput
        label={resource === "COST" ? `At most, in ${viewer.currency}` : "At most"}
        hint="0 refuses everything."
        inputMode="decimal"
        value={max}
        onChange={setMax}
        error={max !== "" && amount === null ? NO_AMOUNT[resource === "COST" ? "money" : "whole"] : faults.get("max")}
        isRequired
        autoFocus
      />
      {hasWindow && !quota && (
        <div className="bar">
          <TextInput
            label="Within the last"
            hint="From 1 minute to 31 days."
            inputMode="numeric"
            value={count}
            onChange={setCount}
            error={length === null ? "This must be a whole number." : faults.get("windowSeconds")}
            isRequired
          />
          <Choice
            label="Unit"
            options={QUOTA_UNITS.map((value) => ({ value, text: `${value}s` }))}
            value={unit}
            onChange={setUnit}
          />
        </div>
      )}
    </FormDialog>
  );
}

const NO_AMOUNT = {
  money: "This must be an amount, with at most six decimals.",
  whole: "This must be a whole number.",
} as const;

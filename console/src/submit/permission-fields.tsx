import { CapabilityProfiles } from "@ai-job-server/sdk/client";
import { useQuery } from "@tanstack/react-query";
import { readErrorOf } from "../api/errors.ts";
import { useClient } from "../api/session.ts";
import { Choice } from "../ui/fields.tsx";
import { FIELD_NAMES } from "./draft.ts";
import type { FieldsProps } from "./work-fields.tsx";

/** What it may do, and with how much care. */
export function PermissionFields({ draft, faults, onChange }: FieldsProps) {
  const client = useClient();
  const { data: profiles, error } = useQuery({
    queryKey: ["capability-profiles"],
    queryFn: async ({ signal }) => (await client.request(CapabilityProfiles, {}, { signal })).capabilityProfiles,
  });
  const ids = profiles?.map(({ capabilityProfileId }) => capabilityProfileId) ?? [];
  // One that an existing job has stands in the list before the list is there.
  const known = [...new Set([...ids, draft.capabilityProfileId])].filter((id) => id !== "");
  const chosen =
    draft.capabilityProfileId === ""
      ? profiles?.find(({ jobKinds }) => jobKinds.includes(draft.jobKind))
      : profiles?.find(({ capabilityProfileId }) => capabilityProfileId === draft.capabilityProfileId);
  const fault = faults.get("capabilityProfileId") ?? (error ? readErrorOf(error) : undefined);
  return (
    <fieldset>
      <legend>What it may do</legend>
      <Choice
        label="Access"
        options={ACCESS}
        value={draft.accessMode}
        onChange={(accessMode) => onChange({ accessMode })}
      />
      <Choice
        label="Care"
        options={SAFETY}
        value={draft.safetyMode}
        onChange={(safetyMode) => onChange({ safetyMode })}
      />
      <Choice
        label="Models"
        options={TIERS}
        value={draft.modelTier}
        onChange={(modelTier) => onChange({ modelTier })}
      />
      <Choice
        label={FIELD_NAMES.capabilityProfileId}
        error={fault}
        hint={chosen && `${chosen.capabilityProfileId} grants ${chosen.capabilities.join(", ") || "nothing"}.`}
        options={[{ value: "", text: "The default of its kind" }, ...known.map((id) => ({ value: id, text: id }))]}
        value={draft.capabilityProfileId}
        onChange={(capabilityProfileId) => onChange({ capabilityProfileId })}
      />
    </fieldset>
  );
}

const ACCESS = [
  { value: "ANALYSIS_ONLY", text: "Reads, and writes nothing" },
  { value: "PREVIEW_ONLY", text: "Makes a preview, and writes nothing" },
  { value: "APPLY_SCOPED", text: "Writes the entities above" },
] as const;

const SAFETY = [
  { value: "STRICT", text: "Strict: refuse whatever is in doubt" },
  { value: "NORMAL", text: "Normal" },
  { value: "EXPERIMENTAL", text: "Experimental" },
] as const;

const TIERS = [
  { value: "LOCAL", text: "Local: on the user’s own machines" },
  { value: "CLOUD", text: "Cloud: what it reads leaves them" },
] as const;

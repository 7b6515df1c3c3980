import { type QuotaFragment, Quotas as QuotasList } from "@ai-job-server/sdk/client";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useMay, useSession } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure, Forbidden } from "../ui/failure.tsx";
import { lengthText } from "../ui/length.ts";
import { percent } from "../ui/numbers.ts";
import { OperationLink } from "../ui/operation-link.tsx";
import { Scrolls } from "../ui/scrolls.tsx";
import { Ago } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { amountText, RESOURCE_WORDS } from "./amount.ts";
import { DeleteQuotaDialog } from "./delete-quota.tsx";
import { SetQuotaDialog } from "./set-quota.tsx";

/** Why `freesAt` is null. */
const NO_TIME = "There is still room, or nobody can tell when there will be.";
const LOOK_MS = 5000;

type Asked = { readonly what: "set" | "delete"; readonly quota: QuotaFragment } | { readonly what: "add" };

/** The most that the workspace may use, and what is used of it. */
export default function Quotas() {
  const mayRead = useMay("JOBS_READ");
  const mayManage = useMay("QUOTAS_MANAGE");
  const { client } = useSession();
  const [asked, setAsked] = useState<Asked | null>(null);
  const { data, error, refetch } = useQuery({
    queryKey: ["quotas"],
    queryFn: async ({ signal }) => (await client.request(QuotasList, {}, { signal })).quotas,
    enabled: mayRead,
    refetchInterval: LOOK_MS,
  });
  const close = () => setAsked(null);
  return (
    <>
      <div className="title">
        <h1>Quotas</h1>
        {mayRead && <OperationLink operation={QuotasList} variables={{}} />}
        {mayManage && <Button onPress={() => setAsked({ what: "add" })}>Set a quota…</Button>}
      </div>
      {!mayRead && <Forbidden why="Your key does not allow you to see what is used (JOBS_READ)." />}
      {!mayManage && <Forbidden why="To set quotas, a key needs the role ADMIN (QUOTAS_MANAGE)." />}
      {error && <Failure error={error} retry={() => void refetch()} />}
      {mayRead && !data && !error && <Waiting what="The list of quotas" />}
      {data?.length === 0 && (
        <Empty>
          There is no quota: the workspace may use any amount. Set one with “Set a quota…”, or with the mutation
          setQuota.
        </Empty>
      )}
      {data && data.length > 0 && (
        <Table quotas={data} mayManage={mayManage} onAsk={(what, quota) => setAsked({ what, quota })} />
      )}
      {asked?.what === "add" && <SetQuotaDialog quota={null} onClose={close} />}
      {asked?.what === "set" && <SetQuotaDialog quota={asked.quota} onClose={close} />}
      {asked?.what === "delete" && <DeleteQuotaDialog quota={asked.quota} onClose={close} />}
    </>
  );
}

interface TableProps {
  readonly quotas: readonly QuotaFragment[];
  readonly mayManage: boolean;
  readonly onAsk: (what: "set" | "delete", quota: QuotaFragment) => void;
}

function Table({ quotas, mayManage, onAsk }: TableProps) {
  const { currency } = useSession().viewer;
  return (
    <Scrolls label="Quotas">
      <table>
        <thead>
          <tr>
            <th scope="col">What</th>
            <th scope="col">Of</th>
            <th scope="col">Within</th>
            <th scope="col" className="numeric">
              Used
            </th>
            <th scope="col">Used, in %</th>
            <th scope="col">Free again</th>
            {mayManage && <td />}
          </tr>
        </thead>
        <tbody>
          {quotas.map((quota) => {
            const { quotaId, resource, capabilityProfileId, windowSeconds, used, max, freesAt } = quota;
            const name = `${RESOURCE_WORDS[resource]} of ${capabilityProfileId ?? "all jobs"}`;
            return (
              <tr key={quotaId}>
                <th scope="row">{RESOURCE_WORDS[resource]}</th>
                <td>{capabilityProfileId === null ? "all jobs" : <bdi>{capabilityProfileId}</bdi>}</td>
                <td>{windowSeconds === null ? "now" : lengthText(windowSeconds)}</td>
                <td className="numeric">
                  {amountText(resource, used, currency)} of {amountText(resource, max, currency)}
                </td>
                <td>
                  <progress value={Math.min(used, max)} max={Math.max(max, 1)} aria-label={`${name}: used`} />
                  {used >= max ? (
                    <span className="tone-bad">✕ used up</span>
                  ) : (
                    <span className="quiet">{percent(used / max)}</span>
                  )}
                </td>
                <td>{freesAt === null ? <span title={NO_TIME}>—</span> : <Ago at={freesAt} />}</td>
                {mayManage && (
                  <td className="bar">
                    <Button look="plain" aria-label={`Change ${name}`} onPress={() => onAsk("set", quota)}>
                      Change…
                    </Button>
                    <Button look="plain" aria-label={`Delete ${name}`} onPress={() => onAsk("delete", quota)}>
                      Delete…
                    </Button>
                  </td>
                )}
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scrolls>
  );
}

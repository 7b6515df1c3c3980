import type { UsageGroup } from "@ai-job-server/sdk/client";
import { money, whole } from "../ui/numbers.ts";
import { Scrolls } from "../ui/scrolls.tsx";
import { type Group, totalOf } from "./groups.ts";

export interface UsageTableProps {
  readonly groups: readonly Group[];
  readonly by: UsageGroup | null;
  readonly currency: string;
}

const HEADS = ["Jobs ended", "Tokens in", "Tokens out", "Tokens", "Cost"] as const;

/** What each group has used in the period, exactly. */
export function UsageTable({ groups, by, currency }: UsageTableProps) {
  const total = totalOf(
    "Together",
    groups.flatMap(({ rows }) => rows),
  );
  return (
    <Scrolls label="Sums">
      <table>
        <thead>
          <tr>
            <th scope="col">{by === null ? "Of" : WORDS[by]}</th>
            {HEADS.map((head) => (
              <th key={head} scope="col" className="numeric">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {groups.map((group) => (
            <Sums key={group.name} group={group} currency={currency} hasJobs />
          ))}
        </tbody>
        {groups.length > 1 && (
          <tfoot>
            {/* A job that has called two models is in the rows of both. */}
            <Sums group={total} currency={currency} hasJobs={by !== "MODEL"} />
          </tfoot>
        )}
      </table>
    </Scrolls>
  );
}

interface SumsProps {
  readonly group: Group;
  readonly currency: string;
  readonly hasJobs: boolean;
}

function Sums({ group, currency, hasJobs }: SumsProps) {
  return (
    <tr>
      <th scope="row">{group.name === "" ? "(empty)" : <bdi>{group.name}</bdi>}</th>
      <td className="numeric">{hasJobs ? whole(group.jobs) : ""}</td>
      <td className="numeric">{whole(group.inputTokens)}</td>
      <td className="numeric">{whole(group.outputTokens)}</td>
      <td className="numeric">{whole(group.totalTokens)}</td>
      <td className="numeric">{money(group.costMicros, currency)}</td>
    </tr>
  );
}

export const WORDS = {
  KIND: "Kind",
  STATE: "State in which they ended",
  MODEL: "Model",
  PROTOCOL: "Protocol",
  LABEL: "Label",
} as const satisfies Record<UsageGroup, string>;

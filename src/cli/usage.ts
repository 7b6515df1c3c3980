import { AiJobUsage, type AiJobUsageQuery, type UsageGroup } from "@ai-job-server/sdk/client";
import { type Environment, withClient, workspaceCommand } from "./connection.ts";
import { costText } from "./jobs/show.ts";
import { print, printJson } from "./output.ts";
import { table } from "./table.ts";
import { parseGroups, parseInterval, parseKinds, parseTime } from "./values.ts";

const INTERVAL_MS = { DAY: 86_400_000, HOUR: 3_600_000 } as const;
/** How far back it looks where nobody says, in intervals: 30 days, or a day by the hour. */
const INTERVALS = { DAY: 30, HOUR: 24 } as const;

type Row = AiJobUsageQuery["aiJobUsage"][number];

const CELLS: Readonly<Record<UsageGroup, (row: Row) => string>> = {
  KIND: ({ jobKind }) => jobKind ?? "",
  STATE: ({ state }) => state ?? "",
  MODEL: ({ provider, model }) => [provider, model].filter(Boolean).join(" "),
  LABEL: ({ label }) => label ?? "",
  PROTOCOL: ({ protocolId }) => protocolId ?? "",
};

/** `usage`: what the jobs of a workspace have used, by the hour or the day (section 14). */
export function usageCommand(env: Environment) {
  return workspaceCommand("usage")
    .description(
      "Shows what the jobs have used: of the last 30 days, or by the hour of the last 24, unless other times are given.",
    )
    .option("--from <time>", "when the first interval begins", parseTime)
    .option("--to <time>", "when the last one ends; without it, with the one that it is now", parseTime)
    .option("--interval <interval>", "DAY or HOUR", parseInterval, "DAY" as const)
    .option("--by <group>", "kept apart by KIND, STATE, MODEL, LABEL or PROTOCOL; at most two", parseGroups, [])
    .option("--label-key <key>", "for LABEL: which one")
    .option("--kind <kind>", "only jobs of this kind; may be repeated", parseKinds)
    .option("--protocol <id>", "only jobs of this protocol")
    .action(async (options) => {
      const { interval, by, labelKey, kind, protocol } = options;
      const { to = endOf(interval) } = options;
      const { from = new Date(to.getTime() - INTERVALS[interval] * INTERVAL_MS[interval]) } = options;
      const variables = {
        from: from.toISOString(),
        to: to.toISOString(),
        interval,
        groupBy: [...by],
        ...(labelKey === undefined ? {} : { labelKey }),
        ...(kind ? { kinds: [...kind] } : {}),
        ...(protocol === undefined ? {} : { protocolId: protocol }),
      };
      const rows = await withClient(
        options,
        env,
        async (client) => (await client.request(AiJobUsage, variables)).aiJobUsage,
      );
      if (options.json) printJson(rows);
      else print(showUsage(rows, by));
    });
}

/** @returns when the interval ends in which it is now. */
function endOf(interval: "DAY" | "HOUR"): Date {
  const ms = INTERVAL_MS[interval];
  return new Date(Math.ceil(Date.now() / ms) * ms);
}

function showUsage(rows: readonly Row[], by: readonly UsageGroup[]): string {
  return table([
    ["FROM", ...by, "JOBS", "INPUT", "OUTPUT", "TOKENS", "COST"],
    ...rows.map((row) => [
      row.from,
      ...by.map((group) => CELLS[group](row)),
      String(row.jobs),
      String(row.metrics.inputTokens),
      String(row.metrics.outputTokens),
      String(row.metrics.totalTokens),
      costText(row.costMicros),
    ]),
  ]);
}

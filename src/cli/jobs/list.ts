import { type AiJobFilter, AiJobs, type AiJobsQuery, type Job, type JobClient } from "@ai-job-server/sdk/client";
import { type Environment, withClient, workspaceCommand } from "../connection.ts";
import { UsageError } from "../errors.ts";
import { print, printJson } from "../output.ts";
import { parseCount, parseId, parseKinds, parseLabels, parseStates } from "../values.ts";
import { showJobs } from "./show.ts";

const PAGE_ROWS = 100;

/** @returns a command with the options that say which jobs are meant. */
export function filterCommand(name: string) {
  return workspaceCommand(name)
    .option("--state <state>", "jobs in this state; may be repeated", parseStates)
    .option("--kind <kind>", "jobs of this kind; may be repeated", parseKinds)
    .option("--label <key=value>", "jobs with this label; may be repeated, all must be there", parseLabels)
    .option("--protocol <id>", "jobs of this protocol")
    .option("--tree <id>", "the jobs of the tree whose root this is", parseId);
}

type FilterOptions = ReturnType<ReturnType<typeof filterCommand>["opts"]>;

export function filterOf({ state, kind, label, protocol, tree }: FilterOptions): AiJobFilter {
  return {
    ...(state ? { states: [...state] } : {}),
    ...(kind ? { kinds: [...kind] } : {}),
    ...(label ? { labels: [...label] } : {}),
    ...(protocol === undefined ? {} : { protocolId: protocol }),
    ...(tree === undefined ? {} : { rootJobId: tree }),
  };
}

/** @throws UsageError where options say which jobs are meant, beside the id of the one. */
export function assertNoFilter(options: FilterOptions): void {
  const { state, kind, label, protocol, tree } = options;
  const given = Object.entries({ state, kind, label, protocol, tree }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`],
  );
  if (given.length === 0) return;
  throw new UsageError(`${given.join(", ")}: for many jobs, and an id names one. Leave one of them out.`);
}

/** `list`: jobs, newest first. */
export function listCommand(env: Environment) {
  return filterCommand("list")
    .description("Lists jobs, newest first.")
    .option("--limit <count>", "how many at most", parseCount, 20)
    .action(async (options) => {
      const jobs = await withClient(options, env, (client) => read(client, filterOf(options), options.limit));
      if (options.json) printJson(jobs);
      else print(showJobs(jobs));
    });
}

async function read(client: JobClient, filter: AiJobFilter, limit: number): Promise<readonly Job[]> {
  const jobs: Job[] = [];
  for (let after: string | null = null; ; ) {
    const first = Math.min(limit - jobs.length, PAGE_ROWS);
    const { nodes, pageInfo }: AiJobsQuery["aiJobs"] = (await client.request(AiJobs, { filter, first, after })).aiJobs;
    jobs.push(...nodes);
    if (!pageInfo.hasNextPage || jobs.length >= limit) return jobs;
    after = pageInfo.endCursor;
  }
}

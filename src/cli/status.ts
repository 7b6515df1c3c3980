import {
  AiJobStats,
  type AiJobStatsQuery,
  UnansweredError,
  Viewer,
  type ViewerQuery,
  Workers,
  type WorkersQuery,
} from "@ai-job-server/sdk/client";
import { z } from "zod";
import { type Environment, type ServerAddress, withClient, workspaceCommand } from "./connection.ts";
import { durationText, stateCell } from "./jobs/show.ts";
import { print, printJson } from "./output.ts";
import { inOneLine, table } from "./table.ts";

/** What a server says of its own health; more than this, it says in docs/operating.md. */
const health = z.looseObject({ status: z.string() });
type Health = z.infer<typeof health>;

/** How long it may take to say so, in milliseconds: it looks at the database for two seconds. */
const HEALTH_MS = 10_000;

/** `status`: how the server is, as whom one asks it, how many jobs there are, and who works. */
export function statusCommand(env: Environment) {
  return workspaceCommand("status")
    .description("Shows how the server is, as whom you ask, how many jobs there are in which state, and who works.")
    .action((options) =>
      withClient(options, env, async (client, address) => {
        const server = await readHealth(address);
        // First, and by itself: a server that cannot answer the rest can say why.
        if (!options.json) print(`${address.url}: ${server.status}`);
        const [{ viewer }, { aiJobStats }, { workers }] = await Promise.all([
          client.request(Viewer, {}),
          client.request(AiJobStats, {}),
          client.request(Workers, { first: 100 }),
        ]);
        const { nodes } = workers;
        if (options.json) printJson({ url: address.url, health: server, viewer, jobs: aiJobStats, workers: nodes });
        else print(["", viewerText(viewer), "", statsText(aiJobStats), "", workersText(nodes)].join("\n"));
      }),
    );
}

/** It has no permission of its own: whoever may ask the server anything may ask this. */
async function readHealth({ url, key }: ServerAddress): Promise<Health> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  try {
    const response = await fetch(new URL("/health", url), {
      headers,
      redirect: "manual",
      signal: AbortSignal.timeout(HEALTH_MS),
    });
    return health.parse(await response.json());
  } catch (cause) {
    throw new UnansweredError(`${url} did not say how it is.`, { cause });
  }
}

function viewerText({ principal, roles, workspace }: ViewerQuery["viewer"]): string {
  const place = workspace ? `in ${inOneLine(workspace.name)}` : "in no workspace";
  return `You are ${inOneLine(principal)}, ${place}${roles.length > 0 ? `, as ${roles.join(", ")}` : ""}.`;
}

function statsText({ byState, total, metrics }: AiJobStatsQuery["aiJobStats"]): string {
  const rows = byState.filter(({ count }) => count > 0).map(({ state, count }) => [stateCell(state), String(count)]);
  const sums = `${total} jobs, ${metrics.totalTokens} tokens`;
  return rows.length === 0 ? "There are no jobs." : `${table([["STATE", "JOBS"], ...rows])}\n${sums}`;
}

function workersText(workers: WorkersQuery["workers"]["nodes"]): string {
  if (workers.length === 0) return "No worker holds a job now.";
  const ago = (time: string) => `${durationText(Date.now() - Date.parse(time))} ago`;
  return table([
    ["WORKER", "JOBS", "KINDS", "HEARD"],
    ...workers.map(({ workerId, leases, jobKinds, lastHeard }) => [
      workerId,
      String(leases),
      jobKinds.join(", "),
      ago(lastHeard),
    ]),
  ]);
}

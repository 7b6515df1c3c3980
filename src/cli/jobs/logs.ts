import { AiJobEvents, type EventFragment, hasEnded, type JobClient } from "@ai-job-server/sdk/client";
import { type Environment, withClient, workspaceCommand } from "../connection.ts";
import { CommandError } from "../errors.ts";
import { print, printJsonLine } from "../output.ts";
import { colored, inOneLine } from "../table.ts";
import { parseId } from "../values.ts";
import { tellConnection } from "./connection-text.ts";

/** `logs`: what has happened to a job, oldest first, from the flight recorder (section 9). */
export function logsCommand(env: Environment) {
  return workspaceCommand("logs")
    .description("Shows what has happened to a job, oldest first; with --json a line of JSON for each event.")
    .argument("<id>", "the job", parseId)
    .option("-f, --follow", "goes on until the job has ended")
    .action((jobId, options) => withClient(options, env, (client) => showEvents(client, jobId, options)));
}

interface LogOptions {
  readonly follow?: true | undefined;
  readonly json?: true | undefined;
}

async function showEvents(client: JobClient, jobId: string, { follow, json }: LogOptions): Promise<void> {
  let seen = await showFrom(client, jobId, null, json);
  if (!follow) return;
  for await (const change of client.watchJob(jobId, { onConnection: tellConnection })) {
    seen = await showFrom(client, jobId, seen, json);
    // A failed job may be retried, so its watch would go on.
    if (hasEnded(change)) return;
  }
}

/** Shows the events behind a place. @returns the place behind the last one. */
async function showFrom(client: JobClient, jobId: string, after: string | null, json?: true): Promise<string | null> {
  for (let place = after; ; ) {
    const { aiJob } = await client.request(AiJobEvents, { jobId, first: 100, after: place });
    if (!aiJob) throw new CommandError(`There is no job ${jobId} here.`);
    const { nodes, pageInfo } = aiJob.events;
    for (const event of nodes)
      if (json) printJsonLine(event);
      else print(lineOf(event));
    place = pageInfo.endCursor ?? place;
    if (!pageInfo.hasNextPage) return place;
  }
}

function lineOf({ recordedAt, type, state, previousState, actor, actorId, payload }: EventFragment): string {
  const change = previousState === null || previousState === state ? state : `${previousState} → ${state}`;
  const details = JSON.stringify(payload);
  const rest = [change, `${actor} ${actorId}`, details === "{}" ? "" : details].join("  ");
  return [colored("gray", recordedAt), colored("cyan", type), inOneLine(rest).trimEnd()].join("  ");
}

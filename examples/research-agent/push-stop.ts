import type { Api } from "../client.ts";
import type { Run } from "../worker/run.ts";
import { follow } from "./follow.ts";
import { WorkerDirectives } from "./operations.ts";

/**
 * Listens for as long as the worker lives, and stops its runs by the id of each as soon as the server says so: a heartbeat would tell
 * with the next one only. It is a hint, and the worker works on without it.
 */
export async function listenForStops(
  api: Api,
  workerId: string,
  runs: ReadonlyMap<string, Run>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const { workflowRunId, directive } of follow(api, WorkerDirectives, { workerId }, signal)) {
      runs.get(workflowRunId)?.stop(directive);
    }
  } catch (error) {
    console.error("Nobody tells this worker to stop at once any more; its heartbeats still do.", error);
  }
}

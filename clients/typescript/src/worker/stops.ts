import { pause } from "../api/abort.ts";
import { JobServerError } from "../api/errors.ts";
import { follow } from "../api/follow.ts";
import { WorkerDirectives } from "../api/generated.ts";
import type { Connection } from "../api/request.ts";
import type { StopDirective } from "./lease-memory.ts";

/** How long to wait before a stream that ended is opened anew. */
const PAUSE_MS = 1_000;

/**
 * Listens for as long as the worker lives to what the server tells its runs. It is a hint, which heartbeats would tell later: where the
 * server refuses the stream for good, the worker works on without.
 */
export async function listenForStops(
  connection: Connection,
  workerId: string,
  onStop: (runId: string, directive: StopDirective) => void,
): Promise<void> {
  const { signal } = new AbortController();
  const followed = { connection, operation: WorkerDirectives, variables: { workerId }, signal };
  for (;;) {
    try {
      for await (const { workerDirectives } of follow({
        ...followed,
        cursorOf: (data) => data.workerDirectives.cursor,
      })) {
        const { directive, workflowRunId } = workerDirectives;
        if (directive !== "CONTINUE") onStop(workflowRunId, directive);
      }
    } catch (error) {
      // Of another database, or no longer kept: begin anew, with the stops of the last quarter of an hour.
      if (!(error instanceof JobServerError) || error.code !== "CURSOR_EXPIRED") return;
    }
    await pause(PAUSE_MS);
  }
}

import { createWorker, type WorkerOptions as KitOptions } from "@ai-job-server/sdk/worker";
import { documentInputs, KINDS } from "./worker/document.ts";
import { summariseDocument, type Tools } from "./worker/summarise-document.ts";

/** The server, of which the worker needs nothing else: its key may do jobs (WORKER). */
export interface WorkerOptions
  extends Pick<KitOptions, "url" | "key" | "workerId" | "leaseSeconds" | "drainSeconds">,
    Tools {
  /** When it is aborted, the worker takes no more jobs, and gives back what it cannot finish. */
  readonly signal: AbortSignal;
}

/** Does jobs, one at a time and oldest first: summarises the document of each. */
export async function work({ documents, summariser, signal, ...options }: WorkerOptions): Promise<void> {
  const worker = createWorker(options);
  for (const kind of KINDS)
    worker.handle(kind, { inputs: documentInputs }, (job, ctx) =>
      summariseDocument(job, ctx, { documents, summariser }),
    );
  await worker.run(signal);
}

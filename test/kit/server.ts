import { createClient, type JobClient, type SubmitAiJobInput } from "@ai-job-server/sdk/client";
import { createWorker, type Worker, type WorkerOptions } from "@ai-job-server/sdk/worker";
import { type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** A server of its own, in memory, as a user starts it. */
export interface KitServer {
  readonly url: string;
  readonly client: JobClient;
  readonly process: SpawnedServer;
}

export async function startKitServer(): Promise<KitServer> {
  const process = spawnServer({ DATABASE_URL: "memory:", RECOVERY_INTERVAL_SECONDS: "1" });
  const url = await process.url;
  return { url, client: createClient({ url }), process };
}

/** The kinds are taken by one worker each, so that tests beside one another do not get each other's jobs. */
export const JOB = { jobKind: "DOC_SUMMARIZE", protocolId: "kit" } as const satisfies SubmitAiJobInput;

const running = new Set<{ readonly worker: Worker; readonly done: Promise<void> }>();

/** A worker of the kit, which runs until the test has ended. */
export function startWorker(url: string, say: (worker: Worker) => void, options: Partial<WorkerOptions> = {}): Worker {
  const worker = createWorker({ url, leaseSeconds: 15, drainSeconds: 0, ...options });
  say(worker);
  const entry = { worker, done: worker.run() };
  entry.done.catch(() => undefined);
  running.add(entry);
  return worker;
}

/** Stops the workers of a test. @throws what one of them has thrown. */
export async function stopWorkers(): Promise<void> {
  const ended = [...running];
  running.clear();
  for (const { worker } of ended) worker.stop();
  await Promise.all(ended.map(({ done }) => done));
}

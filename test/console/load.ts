import { setTimeout as sleep } from "node:timers/promises";
import { createClient, type JobClient } from "@ai-job-server/sdk/client";
import { createWorker, type Worker } from "@ai-job-server/sdk/worker";

/** Jobs of each second, each of which changes seven times: about fifty changes a second. */
const JOBS_A_SECOND = 7;

/** A server that has something to do: jobs that come, and a worker of the kit that does them. */
export class Load {
  readonly #client: JobClient;
  readonly #worker: Worker;
  #ended: Promise<unknown> = Promise.resolve();
  readonly #stop = new AbortController();

  constructor(url: string) {
    this.#client = createClient({ url });
    this.#worker = createWorker({ url, concurrency: 20, workerId: "worker-of-the-load" });
    this.#worker.handle("DOC_EDIT", async (job, ctx) => {
      const isSlow = job.labels.some(({ value }) => value === "slow");
      for (const name of ["read", "plan", "write"]) {
        await ctx.step(name, { type: "llm_call" }, () => sleep(isSlow ? 2000 : 20));
        ctx.progress(0.5, name);
        if (isSlow) ctx.output.write(`${name}. `);
      }
      return { outputs: { text: "as agreed" } };
    });
  }

  /** Resolves when the first jobs are done. */
  async start(): Promise<void> {
    this.#ended = Promise.all([this.#worker.run(), this.#submit()]);
    const { jobId } = await this.#client.submit({ jobKind: "DOC_EDIT", protocolId: "first" });
    await this.#client.waitFor(jobId);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#worker.stop();
    await this.#ended;
  }

  async #submit(): Promise<void> {
    const labels = [{ key: "speed", value: "fast" }];
    while (!this.#stop.signal.aborted) {
      await this.#client.submit({ jobKind: "DOC_EDIT", protocolId: "load", labels });
      await sleep(1000 / JOBS_A_SECOND);
    }
  }
}

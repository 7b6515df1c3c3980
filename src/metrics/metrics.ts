import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { PoolState } from "../db/database.ts";
import type { PrismaClient } from "../db/generated/client/client.ts";
import type { CommitObserver, CommittedVersion, EndedStep } from "../db/observer.ts";
import { toDbEnum } from "../db/rows.ts";
import type { Feed } from "../live/feed.ts";
import { readLag } from "../live/lag.ts";
import { type QueueOfKind, readQueue } from "./queue.ts";

/** From a tenth of a second to a day: jobs take as long as models and people do. */
const LATENCY_BUCKETS = [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400];
const STEP_BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900];

/** What is measured at the moment at which somebody asks. */
export interface MetricsSources {
  readonly prisma: PrismaClient;
  readonly feed: Feed;
  /** The connections of the pool; left out for the embedded database, which has one. */
  readonly pool?: (() => PoolState) | undefined;
}

/**
 * What monitoring asks of a server (docs/operating.md), in Prometheus' format. Counters are of what this server has committed and
 * refused, so those of all servers add up; what is read from the database is the same at each. Every label has few values, which
 * the schema lists; none is of a workspace, a person, or anything that a client named.
 */
export class Metrics implements CommitObserver {
  readonly registry = new Registry();
  readonly #latency = this.#histogram(
    "hsk_job_latency_seconds",
    "From the submit of a job to its end, by kind and the state in which it ended.",
    ["kind", "state"],
    LATENCY_BUCKETS,
  );
  readonly #tokens = this.#counter(
    "hsk_job_tokens_total",
    "Tokens that jobs have used, by kind and direction (input, output).",
    ["kind", "direction"],
  );
  readonly #steps = this.#histogram(
    "hsk_workflow_step_duration_seconds",
    "How long steps took, by the kind of their job and their outcome.",
    ["kind", "outcome"],
    STEP_BUCKETS,
  );
  readonly #leaseLosses = this.#counter(
    "hsk_lease_losses_total",
    "Runs whose lease passed without a word of their worker, by kind.",
    ["kind"],
  );
  readonly #recoveries = this.#counter(
    "hsk_recoveries_total",
    "Jobs that were queued again after their worker was lost, by kind.",
    ["kind"],
  );
  readonly #poisonings = this.#counter("hsk_poisonings_total", "Jobs that were poisoned, by kind.", ["kind"]);
  readonly #refusals = this.#counter("hsk_refusals_total", "Errors that operations were answered with, by code.", [
    "code",
  ]);

  constructor(sources: MetricsSources) {
    collectDefaultMetrics({ register: this.registry });
    this.#gaugeQueue(sources.prisma);
    this.#gaugeFeed(sources);
    if (sources.pool) this.#gaugePool(sources.pool);
  }

  versionCommitted({ before, after, eventType }: CommittedVersion): void {
    const kind = toDbEnum(after.jobKind);
    this.#count("input", kind, after.inputTokens - before.inputTokens);
    this.#count("output", kind, after.outputTokens - before.outputTokens);
    if (before.endedAt === null && after.endedAt !== null) {
      const seconds = (after.endedAt.getTime() - after.createdAt.getTime()) / 1000;
      this.#latency.observe({ kind, state: toDbEnum(after.state) }, Math.max(seconds, 0));
    }
    if (after.state === "POISONED" && before.state !== "POISONED") this.#poisonings.inc({ kind });
    if (eventType === "WORKFLOW_RECOVERY") this.#leaseLosses.inc({ kind });
    if (before.state === "STALLED" && after.state === "QUEUED") this.#recoveries.inc({ kind });
  }

  stepEnded({ jobKind, outcome, milliseconds }: EndedStep): void {
    this.#steps.observe({ kind: toDbEnum(jobKind), outcome }, Math.max(milliseconds, 0) / 1000);
  }

  /** Counts what an operation was answered with. */
  countErrors(codes: Iterable<string>): void {
    for (const code of codes) this.#refusals.inc({ code });
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  #histogram<Label extends string>(
    name: string,
    help: string,
    labelNames: Label[],
    buckets: number[],
  ): Histogram<Label> {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.registry] });
  }

  #count(direction: string, kind: string, tokens: bigint): void {
    if (tokens > 0n) this.#tokens.inc({ kind, direction }, Number(tokens));
  }

  #gaugeQueue(prisma: PrismaClient): void {
    let reading: Promise<readonly QueueOfKind[]> | undefined;
    // Both are of one read: a scrape asks for them at once.
    const read = () => {
      reading ??= readQueue(prisma).finally(() => {
        reading = undefined;
      });
      return reading;
    };
    const depth = new Gauge({
      name: "hsk_queue_depth",
      help: "Jobs that are queued, those that wait for a time or their children included, by kind.",
      labelNames: ["kind"],
      registers: [this.registry],
      collect: async () => {
        for (const { jobKind, queued } of await read()) depth.set({ kind: toDbEnum(jobKind) }, queued);
      },
    });
    const oldest = new Gauge({
      name: "hsk_queue_oldest_due_seconds",
      help: "For how long the longest-waiting job has been due, by kind; 0 where none is due.",
      labelNames: ["kind"],
      registers: [this.registry],
      collect: async () => {
        for (const { jobKind, oldestDueSeconds } of await read())
          oldest.set({ kind: toDbEnum(jobKind) }, oldestDueSeconds);
      },
    });
  }

  #gaugeFeed({ prisma, feed }: MetricsSources): void {
    const lag = new Gauge({
      name: "hsk_feed_lag_seconds",
      help: "The age of the oldest committed event that an open transaction holds back from the live feed.",
      registers: [this.registry],
      collect: async () => {
        lag.set((await readLag(prisma)).behindMs / 1000);
      },
    });
    const subscribers = new Gauge({
      name: "hsk_feed_subscribers",
      help: "Subscriptions that this server serves.",
      registers: [this.registry],
      collect: () => {
        subscribers.set(feed.subscribers);
      },
    });
  }

  #gaugePool(pool: () => PoolState): void {
    const connections = new Gauge({
      name: "hsk_pool_connections",
      help: "Connections to the database, by state (used, idle), and statements that wait for one (waiting).",
      labelNames: ["state"],
      registers: [this.registry],
      collect: () => {
        const { total, idle, waiting } = pool();
        connections.set({ state: "used" }, total - idle);
        connections.set({ state: "idle" }, idle);
        connections.set({ state: "waiting" }, waiting);
      },
    });
  }
}

/**
 * The upper bound for speed: a Yoga server whose subscription uses Yoga's in-memory pub/sub. It stores nothing and
 * reads nothing; a client that is disconnected misses what is published meanwhile. Started by `startPubSub`.
 */
import { setMaxListeners } from "node:events";
import { createServer } from "node:http";
import { createPubSub, createSchema, createYoga } from "graphql-yoga";
import { z } from "zod";
import { now } from "./clock.ts";

/** The part of the API that the benchmark's subscription selects. */
const typeDefs = `
  scalar UUID
  scalar Cursor
  scalar DateTime
  scalar SafeInt
  enum AiJobChangeKind { SNAPSHOT EVENT }
  enum JobState { QUEUED RUNNING }
  type JobMetrics { durationMs: SafeInt! totalTokens: SafeInt! inputTokens: SafeInt! outputTokens: SafeInt! }
  type FlightRecorderEvent { eventId: UUID! type: String! actorId: String! recordedAt: DateTime! }
  type AiJobChange {
    kind: AiJobChangeKind! cursor: Cursor! version: Int! state: JobState! previousState: JobState
    metrics: JobMetrics! matchesFilter: Boolean! event: FlightRecorderEvent
  }
  type Query { ok: Boolean }
  type Subscription { aiJobChanged(jobId: UUID!): AiJobChange! }`;

const eventTarget = new EventTarget();
// Thousands of listeners are intended here; Node would report a leak.
setMaxListeners(0, eventTarget);
const pubSub = createPubSub<{ job: [jobId: string, change: object] }>({ eventTarget });

const yoga = createYoga({
  schema: createSchema({
    typeDefs,
    resolvers: {
      Subscription: {
        aiJobChanged: {
          subscribe: (_root, { jobId }: { jobId: string }) => pubSub.subscribe("job", jobId),
          resolve: (change: object) => change,
        },
      },
    },
  }),
  logging: false,
});

const published = z.object({ jobIds: z.array(z.string()), version: z.int() });

process.on("message", (message) => {
  const order = published.safeParse(message);
  if (!order.success) return;
  const { jobIds, version } = order.data;
  const changes = jobIds.map((jobId) => ({
    kind: "EVENT",
    cursor: `MTc5OTk5OTk5OTo${jobId}`,
    version,
    state: "RUNNING",
    previousState: "RUNNING",
    metrics: { durationMs: 5 * version, totalTokens: 10 * version, inputTokens: 10 * version, outputTokens: 0 },
    matchesFilter: true,
    event: { eventId: jobId, type: "METRICS_RECORDED", actorId: "bench", recordedAt: new Date().toISOString() },
  }));
  const at = now();
  for (const [index, jobId] of jobIds.entries()) pubSub.publish("job", jobId, changes[index] ?? {});
  process.send?.({ at });
});

process.once("SIGTERM", () => process.exit(0));
createServer((request, response) => void yoga(request, response)).listen(Number(process.env.PORT), "127.0.0.1");

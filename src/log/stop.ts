import { type FlightRecorderEvent, Prisma } from "../db/generated/client/client.ts";

/** A worker, as the runs that it holds name it: two principals may have workers of one name. */
export interface WorkerRef {
  readonly workerId: string;
  readonly principalId: string;
}

/**
 * Whether an event is a stop: it takes a run from its worker, and is not what this worker reported to end it. A cancellation, a
 * poisoning, a budget that is used up, a lease that has passed are stops. A report that ends its own run is written in the worker's
 * name (actor AGENT), and no worker ends a run of another one in its name; so the actor tells the two apart.
 */
export function isStop({
  previousState,
  state,
  actor,
}: Pick<FlightRecorderEvent, "previousState" | "state" | "actor">) {
  return previousState === "RUNNING" && state !== "RUNNING" && actor !== "AGENT";
}

/** The same as a condition on events: word for word that of the index flight_recorder_stops. */
export const IS_STOP = Prisma.sql`previous_state = 'running' AND state <> 'running' AND actor <> 'agent'`;

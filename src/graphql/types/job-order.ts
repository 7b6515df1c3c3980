import { z } from "zod";
import type { AiJob as Job } from "../../db/generated/client/client.ts";
import type { JobKey, JobOrder } from "../../jobs/list.ts";
import { MAX_COST_DAYS } from "../../jobs/list-by-cost.ts";
import { builder } from "../builder.ts";
import { type KeyCodec, storableDate } from "../connection.ts";

/** The orders of lists of jobs, and their cursors. */

const AiJobOrderField = builder.enumType("AiJobOrderField", {
  description: "What a list of jobs is ordered by.",
  values: {
    CREATED_AT: { description: "When the job was submitted." },
    UPDATED_AT: {
      description: "When the job last changed. A job that changes while pages are read moves to another place.",
    },
    COST: {
      description:
        "What the job has cost, AiJob.costMicros. Only with a filter that has createdAfter and createdBefore, at most " +
        `${MAX_COST_DAYS} days apart: without an index, all jobs that match are read for each page. A job whose cost grows ` +
        "while pages are read moves to another place.",
    },
  } satisfies Record<JobOrder["field"], unknown>,
});

const OrderDirection = builder.enumType("OrderDirection", {
  description: "The direction of an order.",
  values: {
    ASC: { description: "The earliest, or what cost least, first." },
    DESC: { description: "The latest, or what cost most, first." },
  } satisfies Record<JobOrder["direction"], unknown>,
});

export const AiJobOrder = builder.inputType("AiJobOrder", {
  description:
    "How a list of jobs is ordered; jobs of the same millisecond, or the same cost, are ordered by their ids.",
  fields: (t) => ({
    field: t.field({ type: AiJobOrderField, required: true, description: "What to order by." }),
    direction: t.field({
      type: OrderDirection,
      required: true,
      defaultValue: "DESC",
      description: "Which end of the list is first.",
    }),
  }),
});

const COLUMN_OF = { CREATED_AT: "createdAt", UPDATED_AT: "updatedAt", COST: "costMicros" } as const satisfies Record<
  JobOrder["field"],
  keyof Job
>;

function timeCodec(field: "CREATED_AT" | "UPDATED_AT"): KeyCodec<Job, JobKey> {
  return {
    keyOf: (job) => [field, job[COLUMN_OF[field]].toISOString(), job.jobId],
    schema: z.tuple([z.literal(field), storableDate, z.uuid()]).transform(([_field, at, jobId]) => ({ at, jobId })),
  };
}

/** A cost is a number in a cursor: the database has none that a number cannot hold. */
const COST_CODEC: KeyCodec<Job, JobKey> = {
  keyOf: (job) => ["COST", Number(job.costMicros), job.jobId],
  schema: z
    .tuple([z.literal("COST"), z.int().nonnegative(), z.uuid()])
    .transform(([_field, at, jobId]) => ({ at, jobId })),
};

/** Made once: to make a schema takes longer than to read by it. */
const CODECS = { CREATED_AT: timeCodec("CREATED_AT"), UPDATED_AT: timeCodec("UPDATED_AT"), COST: COST_CODEC };

/** @returns how cursors of a list in this order are written and read. A cursor of another order is refused. */
export function jobKeyCodec(field: JobOrder["field"]): KeyCodec<Job, JobKey> {
  return CODECS[field];
}

/** @returns the column that a cursor of a list in this order is made from. */
export function orderColumn(field: JobOrder["field"]): (typeof COLUMN_OF)[typeof field] {
  return COLUMN_OF[field];
}

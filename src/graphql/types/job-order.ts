import { z } from "zod";
import type { AiJob as Job } from "../../db/generated/client/client.ts";
import type { JobKey, JobOrder } from "../../jobs/list.ts";
import { builder } from "../builder.ts";
import { type KeyCodec, storableDate } from "../connection.ts";

/** The orders of lists of jobs, and their cursors. */

const AiJobOrderField = builder.enumType("AiJobOrderField", {
  description: "The time that a list of jobs is ordered by.",
  values: {
    CREATED_AT: { description: "When the job was submitted." },
    UPDATED_AT: {
      description: "When the job last changed. A job that changes while pages are read moves to another place.",
    },
  } satisfies Record<JobOrder["field"], unknown>,
});

const OrderDirection = builder.enumType("OrderDirection", {
  description: "The direction of an order.",
  values: {
    ASC: { description: "The earliest first." },
    DESC: { description: "The latest first." },
  } satisfies Record<JobOrder["direction"], unknown>,
});

export const AiJobOrder = builder.inputType("AiJobOrder", {
  description: "How a list of jobs is ordered; jobs of the same millisecond are ordered by their ids.",
  fields: (t) => ({
    field: t.field({ type: AiJobOrderField, required: true, description: "The time to order by." }),
    direction: t.field({
      type: OrderDirection,
      required: true,
      defaultValue: "DESC",
      description: "Which end of the list is first.",
    }),
  }),
});

const TIME_OF = { CREATED_AT: "createdAt", UPDATED_AT: "updatedAt" } as const satisfies Record<
  JobOrder["field"],
  keyof Job
>;

function codecOf(field: JobOrder["field"]): KeyCodec<Job, JobKey> {
  return {
    keyOf: (job) => [field, job[TIME_OF[field]].toISOString(), job.jobId],
    schema: z.tuple([z.literal(field), storableDate, z.uuid()]).transform(([_field, at, jobId]) => ({ at, jobId })),
  };
}

/** Made once: to make a schema takes longer than to read by it. */
const CODECS = { CREATED_AT: codecOf("CREATED_AT"), UPDATED_AT: codecOf("UPDATED_AT") };

/** @returns how cursors of a list in this order are written and read. A cursor of the other order is refused. */
export function jobKeyCodec(field: JobOrder["field"]): KeyCodec<Job, JobKey> {
  return CODECS[field];
}

/** @returns the column that a cursor of a list in this order is made from. */
export function orderColumn(field: JobOrder["field"]): (typeof TIME_OF)[typeof field] {
  return TIME_OF[field];
}

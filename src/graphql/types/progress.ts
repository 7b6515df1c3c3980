import { z } from "zod";
import { exact } from "../../exact.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { type JobProgress, MAX_PROGRESS_MESSAGE, type Progress as ReportedProgress } from "../../jobs/progress.ts";
import { builder } from "../builder.ts";

/** How far a job is: what workers report, and what people see of it. */

export const ProgressInput = builder.inputType("ProgressInput", {
  description:
    "How far the run is (section 13): a fraction, a message, or both. It replaces both of what was reported before.",
  validate: z
    .looseObject({ fraction: z.unknown(), message: z.unknown() })
    .refine(({ fraction, message }) => fraction != null || message != null, "give a fraction, a message, or both"),
  fields: (t) => ({
    fraction: t.float({
      validate: z.number().min(0).max(1).nullish(),
      description: "How much is done, from 0 to 1. It may go back.",
    }),
    message: t.string({
      validate: boundedText(MAX_PROGRESS_MESSAGE).nullish(),
      description:
        "What is done now, for people; 1 to 200 characters. Guards check it (section 7); stored with secrets redacted.",
    }),
  }),
});

/** @returns what a report brings; undefined where it brings none, so that such a report has the hash that it had before there was progress. */
export function progressOf(input: typeof ProgressInput.$inferInput | null | undefined): ReportedProgress | undefined {
  if (!input) return undefined;
  const { fraction, message } = input;
  // No -0: JSON knows it, and the hash of what is stored would be that of 0.
  return exact<ReportedProgress>()({ fraction: fraction == null ? null : fraction + 0, message: message ?? null });
}

interface TimedProgress extends ReportedProgress {
  readonly at: Date;
}

export const Progress = builder.objectRef<TimedProgress>("Progress").implement({
  description:
    "How far the job's latest run is, as its worker says (section 13). At least one of fraction and message is there.",
  fields: (t) => ({
    fraction: t.exposeFloat("fraction", {
      nullable: true,
      description: "How much is done, from 0 to 1; null if the worker did not say. It may go back.",
    }),
    message: t.exposeString("message", {
      nullable: true,
      description: "What is done now, for people, up to 200 characters; null if the worker did not say.",
    }),
    at: t.expose("at", {
      type: "DateTime",
      description: "Since when the job says so: the time of the version that brought it.",
    }),
  }),
});

/** @returns a job's progress; null where its latest run has reported none. */
export function progressOfJob({ progressFraction, progressMessage, progressAt }: JobProgress): TimedProgress | null {
  return progressAt && { fraction: progressFraction, message: progressMessage, at: progressAt };
}

import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { type Appended, type AppendOutput, appendOutput } from "../../output/append.ts";
import { MAX_CALL_BYTES, MAX_CALL_CHUNKS, MAX_CHUNK_BYTES, MAX_RUN_CHUNKS } from "../../output/bounds.ts";
import type { SentChunk } from "../../output/next-chunks.ts";
import type { SentReport } from "../../runs/report.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { JobPoisoned } from "../types/job-poisoned.ts";
import { senderOf } from "../viewer.ts";

const OutputChunkInput = builder.inputType("OutputChunkInput", {
  description: "A piece of what a run puts out, in its order (section 13).",
  fields: (t) => ({
    sequence: t.int({
      required: true,
      validate: z.int().min(1).max(MAX_RUN_CHUNKS),
      description:
        "The number of the chunk in its run: 1, and then one more each time, up to 65,536. One that leaves a gap is INVALID_INPUT, which names " +
        "nextSequence; one that is stored already counts once if its text is the same, and is INVALID_INPUT otherwise.",
    }),
    text: t.string({
      required: true,
      validate: boundedText(MAX_CHUNK_BYTES).refine(
        (text) => Buffer.byteLength(text) <= MAX_CHUNK_BYTES,
        `must have at most ${MAX_CHUNK_BYTES} bytes of UTF-8`,
      ),
      description: "The text: 1 character to 16 KiB of UTF-8.",
    }),
  }),
});

/** Validates the chunks of a call: their number, that they follow one another, and their bytes together. */
const chunksOfCall = z
  .array(z.looseObject({ sequence: z.number(), text: z.string() }))
  .min(1)
  .max(MAX_CALL_CHUNKS)
  .superRefine((chunks, context) => {
    const first = chunks[0]?.sequence ?? 0;
    const wrong = chunks.findIndex(({ sequence }, index) => sequence !== first + index);
    const message = "must follow that of the chunk before";
    if (wrong !== -1) context.addIssue({ code: "custom", message, path: [wrong, "sequence"] });
    const bytes = chunks.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
    if (bytes > MAX_CALL_BYTES)
      context.addIssue({ code: "custom", message: `must have at most ${MAX_CALL_BYTES} bytes of UTF-8 together` });
  });

const AppendOutputInput = builder.inputType("AppendOutputInput", {
  description: "What a worker appends to the output of its run.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run's id." }),
    leaseToken: t.string({ required: true, description: "The lease token from the claim." }),
    chunks: t.field({
      type: [OutputChunkInput],
      required: true,
      validate: chunksOfCall,
      description: "The chunks, 1 to 100, in their order and without gaps; together at most 1 MiB of UTF-8.",
    }),
  }),
});

const AppendOutputPayload = builder.objectRef<Appended>("AppendOutputPayload").implement({
  description: "The chunks are stored, and whoever watches the job's output is told of them.",
  isTypeOf: isPayloadWith("nextSequence"),
  fields: (t) => ({
    nextSequence: t.exposeInt("nextSequence", { description: "The sequence of the run's next chunk." }),
  }),
});

builder.mutationField("appendOutput", (t) =>
  t.errorUnionField({
    permission: "JOBS_WORK",
    description:
      "Appends to the partial output of a run, which aiJobOutput tells of: at most 4 MiB of UTF-8 a run, in 65,536 chunks; more is " +
      "INVALID_INPUT. The lease is checked first, then guards check the chunks together with the last 2,000 characters before them, and only " +
      "then are they stored. A security violation poisons the job, deletes its partial output, and answers JobPoisoned. No record: " +
      "no event, no version of the job, and deleted an hour after the run has ended (section 13).",
    types: [
      AppendOutputPayload,
      JobPoisoned,
      ...errorTypes<ErrorsOf<typeof appendOutput>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.LeaseLostError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.GuardFailedError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of appendOutput." },
    args: { input: t.arg({ type: AppendOutputInput, required: true, description: "The chunks." }) },
    resolve: async (_root, { input }, { engine, viewer, readable }) => {
      const chunks = input.chunks.map((chunk) => exact<SentChunk>()(chunk));
      const report = exact<SentReport<AppendOutput>>()({ ...input, ...senderOf(viewer), chunks });
      const appended = orThrow(await appendOutput(engine, report));
      if ("job" in appended) readable.hold(appended.job);
      return appended;
    },
  }),
);

import { CursorExpiredError, InvalidInputError, NotFoundError } from "../../errors.ts";
import { decodeOutputCursor, encodeOutputCursor, OUTPUT_START, type OutputPosition } from "../../output/position.ts";
import { builder } from "../builder.ts";
import type { GraphQLContext } from "../context.ts";
import { type OutputPayload, outputStream } from "./output-stream.ts";

const OutputChunk = builder.objectRef<OutputPayload>("OutputChunk").implement({
  description:
    "A piece of what a run puts out while it works, or that a run's output has ended (`isLast`). The order is by attempt, then by sequence " +
    "(section 13).",
  fields: (t) => ({
    attempt: t.exposeInt("attempt", {
      description:
        "The attempt of the run, from 1. A higher one begins anew: what the attempts before put out is void.",
    }),
    sequence: t.exposeInt("sequence", {
      description:
        "The number of the chunk in its run, from 1, without gaps. Where `isLast` is true, one more than that of the run's last chunk.",
    }),
    text: t.exposeString("text", { description: "The text, up to 16 KiB of UTF-8; empty where `isLast` is true." }),
    cursor: t.expose("cursor", {
      type: "Cursor",
      description: "The position in the job's output; pass it as `after` to continue from here.",
    }),
    isLast: t.exposeBoolean("isLast", {
      description:
        "Whether the run can put out no more: it has ended, or its outputs await a decision. Told once for each attempt, also one that " +
        "put out nothing. What became of the job, its state says.",
    }),
  }),
});

builder.subscriptionField("aiJobOutput", (t) =>
  t.field({
    type: OutputChunk,
    permission: "JOBS_READ",
    description:
      "What the runs of a job put out while they work: all that is kept, then each chunk as soon as it is stored. It completes once the job " +
      "has ended; of a job that is retried by itself, the next attempt follows. Kept until an hour after its run has ended, and of a " +
      "poisoned job not at all. An unknown job is NOT_FOUND; an `after` from before a restore is CURSOR_EXPIRED, and one that is not of " +
      "this job's output INVALID_INPUT (section 13).",
    args: {
      jobId: t.arg({ type: "UUID", required: true, description: "The job's id." }),
      after: t.arg({ type: "Cursor", description: "Continue after this position, without a gap." }),
    },
    subscribe: (_root, { jobId, after }, context) => outputOf(context, jobId, after),
    resolve: (payload) => payload,
  }),
);

/**
 * @throws AppError where the viewer may not watch; NotFoundError where its workspace has no such job; CursorExpiredError or
 *   InvalidInputError where the cursor cannot be used.
 */
async function outputOf(
  context: GraphQLContext,
  jobId: string,
  after: string | null | undefined,
): Promise<AsyncIterableIterator<OutputPayload>> {
  const { feed, mayWatch, reads, resumeState, viewer } = context;
  const right = await mayWatch(viewer, jobId);
  const epoch = await feed.epoch();
  const cursor = resumeState.resumeAfter ?? after;
  const from = cursor == null ? OUTPUT_START : resolve(cursor, epoch, jobId);
  const { workspaceId } = viewer;
  const [job] = await reads.job({ workspaceId, id: jobId }, ["jobId"]);
  if (!job) throw new NotFoundError("job");
  // That a run ended is an event; the first read of the stream comes behind this, so none is missed.
  const events = await feed.subscribe({ workspaceId, jobId, matches: ({ event }) => event.state !== "RUNNING" });
  const cursorAt = (position: OutputPosition) => encodeOutputCursor({ epoch, jobId, position });
  return outputStream(context, { job: { workspaceId, jobId }, from, right, events, cursorAt });
}

function resolve(cursor: string, epoch: string, jobId: string): OutputPosition {
  const decoded = decodeOutputCursor(cursor);
  if (decoded?.jobId !== jobId) {
    throw new InvalidInputError(
      ["after"],
      "This is no cursor of this job's output. Pass one from a payload, unchanged.",
    );
  }
  if (decoded.epoch !== epoch) throw new CursorExpiredError();
  return decoded.position;
}

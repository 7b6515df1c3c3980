import type { WorkflowDirective } from "../../errors.ts";
import { directiveOf } from "../../jobs/directive.ts";
import { type FeedItem, isInScope } from "../../live/subscriber.ts";
import { encodeCursor } from "../../log/cursor.ts";
import { readStopsSince, type StopsScope } from "../../log/read-stops.ts";
import { LEASE_SECONDS } from "../../runs/lease-token.ts";
import { builder } from "../builder.ts";
import type { GraphQLContext } from "../context.ts";
import { WorkflowDirectiveEnum } from "../enums.ts";
import { workerId } from "../inputs.ts";
import { streamOf } from "./stream.ts";

/** What a worker is told of a run that it must stop. */
interface Directive {
  readonly workflowRunId: string;
  readonly jobId: string;
  readonly directive: WorkflowDirective;
  readonly cursor: string;
}

const WorkerDirective = builder.objectRef<Directive>("WorkerDirective").implement({
  description:
    "That a worker must stop a run: a hint, as soon as it is known. The directives in the answers to its reports stay the truth " +
    "(section 13).",
  fields: (t) => ({
    workflowRunId: t.expose("workflowRunId", {
      type: "UUID",
      description: "The run. A worker that does not hold it, or not any more, takes no notice.",
    }),
    jobId: t.expose("jobId", { type: "UUID", description: "The run's job." }),
    directive: t.expose("directive", {
      type: WorkflowDirectiveEnum,
      description: "Why to stop: one of STOP_…, as the worker's next heartbeat of the run would be told.",
    }),
    cursor: t.expose("cursor", {
      type: "Cursor",
      description: "The position in the event log; pass it as `after` to continue from here.",
    }),
  }),
});

builder.subscriptionField("workerDirectives", (t) =>
  t.field({
    type: WorkerDirective,
    permission: "JOBS_WORK",
    description:
      "One stream for a worker process: STOP for each of its runs that is cancelled, poisoned, failed for its budget, or taken " +
      "back when its lease has passed; not for what the worker itself reported to end it. Only of runs that the same principal " +
      "claimed; with the header x-workspace-id only of that workspace. It begins with the stops of the last " +
      `${LEASE_SECONDS.max / 60} minutes, the longest lease, so it may be opened after a claim; with \`after\` it goes on from there. ` +
      "An `after` that is too old is CURSOR_EXPIRED (sections 10 and 13).",
    args: {
      workerId: t.arg.string({ ...workerId, description: "The name by which the worker claims. 1 to 200 characters." }),
      after: t.arg({ type: "Cursor", description: "Continue after this position, without a gap." }),
    },
    subscribe: (_root, args, context) => directivesOf(context, args.workerId, args.after),
    resolve: (directive) => directive,
  }),
);

/**
 * The stops of a worker's runs. Without a cursor they begin with those of all runs that it may still believe to hold: a stop between
 * a claim and the subscription is not missed, and a worker whose longest lease has passed stops by itself.
 * @throws CursorExpiredError or InvalidInputError where the cursor cannot be used.
 */
async function directivesOf(
  context: GraphQLContext,
  workerId: string,
  after: string | null | undefined,
): Promise<AsyncIterableIterator<Directive>> {
  const { engine, feed, mayWatch, resumeState, viewer } = context;
  const right = await mayWatch(viewer, undefined);
  const cursor = resumeState.resumeAfter ?? after;
  const from = cursor == null ? undefined : await feed.cursors.resolve(cursor);
  const epoch = await feed.epoch();
  const since = await readStopsSince(engine.prisma, from, LEASE_SECONDS.max);
  const worker = { workerId, principalId: viewer.principal.name, since };
  // A worker that named no workspace claims in all of them, and so is told of all.
  const scope: StopsScope = { workspaceId: viewer.chosenWorkspaceId, worker };
  const subscriber = await feed.subscribe(scope, from ?? (await feed.start()));
  return streamOf<Directive>(context, right, subscriber, [], {
    cursorAt: (position) => encodeCursor(epoch, position),
    // The second look, as each row that is read has one (section 11).
    mayBeTold: (item) => isInScope(scope, item),
    toPayload: toDirective,
  });
}

function toDirective(cursor: string, { event: { workflowRunId, jobId, state } }: FeedItem): Directive {
  if (workflowRunId === null) throw new Error(`A stop of job ${jobId} names no run.`);
  return { workflowRunId, jobId, directive: directiveOf(state), cursor };
}

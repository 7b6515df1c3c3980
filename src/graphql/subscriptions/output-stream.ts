import { setTimeout as sleep } from "node:timers/promises";
import { TryAgainError } from "../../errors.ts";
import type { Subscriber } from "../../live/subscriber.ts";
import type { OutputEntry, OutputPage, OutputQuery } from "../../output/page.ts";
import type { OutputPosition } from "../../output/position.ts";
import type { GraphQLContext } from "../context.ts";
import type { WatchRight } from "./watch-rule.ts";

/** An entry of a job's output, as a subscriber gets it. */
export type OutputPayload = OutputEntry & { readonly cursor: string };

/** What a stream of a job's output is made of. */
interface OutputSource {
  readonly job: Omit<OutputQuery, "after">;
  /** The place from which it goes on. */
  readonly from: OutputPosition;
  readonly right: WatchRight;
  /** The events with which runs of the job end. It ends with the feed, too: when the server stops, or a new epoch begins. */
  readonly events: Subscriber;
  readonly cursorAt: (position: OutputPosition) => string;
}

/** Milliseconds until a page is asked for again that could not be read. */
const RETRY_MS = 250;
/** Of a job that is there no more. */
const NOTHING_MORE: OutputPage = { entries: [], hasMore: false, isLast: true };

/**
 * One subscription to a job's output: page after page, each read when there may be something new. It is no generator for the
 * reason given at `streamOf`.
 */
export function outputStream(
  { engine: { outputs }, feed, resumeState }: GraphQLContext,
  { job, from, right, events, cursorAt }: OutputSource,
): AsyncIterableIterator<OutputPayload> {
  let waiting: OutputEntry[] = [];
  let readUpTo = from;
  let told = from;
  /** Whether there may be something behind what was read. */
  let mayHaveMore = true;
  let isComplete = false;
  let isInterrupted = false;
  let endPause = () => {};
  const wake = () => {
    mayHaveMore = true;
    endPause();
  };
  const removeWatcher = outputs.watch(
    { workspaceId: job.workspaceId, id: job.jobId },
    { wake, position: () => readUpTo },
  );
  const removeCallback = right.onEnd((reason) => {
    // Who cannot be told now may go on from the cursor, here or at another server; whose right has ended is told so.
    isInterrupted = reason instanceof TryAgainError;
    events.end(isInterrupted ? undefined : reason);
  });
  const leave = () => {
    removeWatcher();
    removeCallback();
    events.end();
  };
  const followEvents = async (): Promise<void> => {
    try {
      for await (const _event of events) wake();
    } finally {
      wake();
    }
  };
  const following = followEvents();
  // Who ended them with an error is told so below; a client that has left is not.
  following.catch(() => undefined);

  /** @returns undefined where it could not be read now. */
  const readPage = async (): Promise<OutputPage | undefined> => {
    try {
      return (await outputs.read({ ...job, after: readUpTo })) ?? NOTHING_MORE;
    } catch (error) {
      if (!(error instanceof TryAgainError)) throw error;
      await sleep(RETRY_MS);
      return undefined;
    }
  };
  /** Fills `waiting`, unless the job or the subscription ends. */
  const fill = async (): Promise<void> => {
    while (waiting.length === 0 && !isComplete && !events.hasEnded) {
      if (!mayHaveMore) {
        await new Promise<void>((resolve) => {
          endPause = resolve;
        });
        continue;
      }
      mayHaveMore = false;
      const page = await readPage();
      waiting = [...(page?.entries ?? [])];
      readUpTo = waiting.at(-1)?.position ?? readUpTo;
      isComplete = page?.isLast ?? false;
      if (!page || page.hasMore) mayHaveMore = true;
    }
  };
  const next = async (): Promise<IteratorResult<OutputPayload, undefined>> => {
    await fill();
    const entry = events.hasEnded ? undefined : waiting.shift();
    resumeState.cursor = cursorAt(entry?.position ?? told);
    if (entry) {
      told = entry.position;
      return { value: { ...entry, cursor: resumeState.cursor }, done: false };
    }
    leave();
    await following;
    const hasToldAll = isComplete && waiting.length === 0;
    resumeState.interrupted = !hasToldAll && (isInterrupted || feed.isClosed);
    return { value: undefined, done: true };
  };
  return {
    next: () =>
      next().catch((error: unknown) => {
        leave();
        throw error;
      }),
    return: async () => {
      leave();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

import type { AppError } from "../errors.ts";
import type { GraphQLContext } from "./context.ts";

/**
 * Does work that waits, such as a claim, until who asked for it has ended.
 * @param signal aborted when the client disconnects, where that can be known.
 * @param work ends early, with an empty answer, when its signal is aborted.
 * @returns the answer of the work. One that is not empty is given though the principal has ended meanwhile.
 * @throws why the principal has ended, in place of an empty answer.
 */
export async function untilPrincipalEnds<Answer>(
  onPrincipalEnd: GraphQLContext["onPrincipalEnd"],
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<Answer>,
  isEmpty: (answer: Answer) => boolean,
): Promise<Answer> {
  const ended = new AbortController();
  let reason: AppError | undefined;
  const removeListener = onPrincipalEnd((why) => {
    reason = why;
    ended.abort();
  });
  try {
    const answer = await work(signal ? AbortSignal.any([signal, ended.signal]) : ended.signal);
    if (reason && isEmpty(answer)) throw reason;
    return answer;
  } finally {
    removeListener();
  }
}

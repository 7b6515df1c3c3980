import { setTimeout as sleep } from "node:timers/promises";
import DataLoader from "dataloader";

/** Calls that go together, at most. */
const MAX_CALLS = 10;
/** Milliseconds after which calls wait no longer for those that are under way: they may wait for a connection. */
const LONGEST_WAIT_MS = 50;

/** Answers several calls: resolves when what they share is done, with what each of them may still wait for. */
export type Run<Call, Answer> = (calls: readonly Call[]) => Promise<readonly Promise<Answer>[]>;

/** A call goes at once where none is under way, else with those that came meanwhile. */
export function inTurns<Call, Answer>(run: Run<Call, Answer>): (call: Call) => Promise<Answer> {
  let underWay: Promise<unknown> = Promise.resolve();
  // In a box: the loader would answer all of them when the slowest has its answer.
  const loader = new DataLoader<Call, { readonly answer: Promise<Answer> }>(
    async (calls) => {
      const answers = run(calls);
      underWay = Promise.race([answers.catch(() => undefined), sleep(LONGEST_WAIT_MS, undefined, { ref: false })]);
      return (await answers).map((answer) => ({ answer }));
    },
    { cache: false, maxBatchSize: MAX_CALLS, batchScheduleFn: (dispatch) => void underWay.then(dispatch) },
  );
  return async (call) => (await loader.load(call)).answer;
}

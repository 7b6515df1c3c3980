import type { AceError, Guard, GuardContent } from "./guard.ts";

/** The result of running the guards. `guardsRun` counts the guards that were started, including one that raised or failed. */
export type GuardsOutcome =
  | { readonly outcome: "passed"; readonly guardsRun: number }
  | { readonly outcome: "raised"; readonly guardName: string; readonly error: AceError; readonly guardsRun: number }
  | { readonly outcome: "failed"; readonly guardName: string; readonly reason: string; readonly guardsRun: number };

/**
 * Runs the guards one after another, in their order, and stops at the first that does not pass (section 7). A guard that
 * throws or takes longer than `timeoutMs` milliseconds fails closed: the outcome is "failed", for which the caller answers
 * GUARD_FAILED. Content without texts passes without running any guard.
 * @returns the outcome. The promise never rejects.
 */
export async function runGuards(
  guards: readonly Guard[],
  content: GuardContent,
  timeoutMs: number,
): Promise<GuardsOutcome> {
  let guardsRun = 0;
  if (content.texts.length === 0) return { outcome: "passed", guardsRun };
  for (const guard of guards) {
    guardsRun += 1;
    const checkOutcome = await checkOutcomeOf(guard, content, timeoutMs);
    switch (checkOutcome.kind) {
      case "passes":
        continue;
      case "raises":
        return { outcome: "raised", guardName: guard.name, error: checkOutcome.error, guardsRun };
      case "fails":
        return { outcome: "failed", guardName: guard.name, reason: checkOutcome.reason, guardsRun };
    }
  }
  return { outcome: "passed", guardsRun };
}

/** The outcome of one guard's check. */
type CheckOutcome =
  | { readonly kind: "passes" }
  | { readonly kind: "raises"; readonly error: AceError }
  | { readonly kind: "fails"; readonly reason: string };

async function checkOutcomeOf(guard: Guard, content: GuardContent, timeoutMs: number): Promise<CheckOutcome> {
  const timedOut: CheckOutcome = { kind: "fails", reason: `did not answer within ${timeoutMs} ms` };
  const stop = new AbortController();
  const startedAt = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<CheckOutcome>((resolve) => {
    timer = setTimeout(() => {
      resolve(timedOut);
      stop.abort();
    }, timeoutMs);
  });
  try {
    const checkOutcome = await Promise.race([answerOf(guard, content, stop.signal), timeout]);
    // A guard that never yields to the event loop wins the race against the timer, however long it takes. After the time
    // limit its finding still counts, but its pass does not, so that the same limit applies to every guard.
    return checkOutcome.kind === "passes" && performance.now() - startedAt > timeoutMs ? timedOut : checkOutcome;
  } finally {
    clearTimeout(timer);
  }
}

// Errors are caught here and not around the race: a guard that throws after the time limit would otherwise cause an
// unhandled rejection.
async function answerOf(guard: Guard, content: GuardContent, signal: AbortSignal): Promise<CheckOutcome> {
  try {
    const error = await guard.check(content, signal);
    return error === null ? { kind: "passes" } : { kind: "raises", error };
  } catch (cause) {
    return { kind: "fails", reason: reasonOf(cause) };
  }
}

const builtInErrors = [TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError];

// The message and even the name of an error are chosen by the code that throws it and may quote the content, so neither is
// passed on: only the names of built-in errors are.
function reasonOf(cause: unknown): string {
  const builtInError = builtInErrors.find((type) => cause instanceof type);
  return builtInError === undefined ? "threw an error" : `threw a ${builtInError.name}`;
}

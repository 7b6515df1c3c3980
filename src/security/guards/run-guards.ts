import { inTurn, LARGE_CHARACTERS } from "../../threads/pool.ts";
import type { Client } from "../../threads/turns.ts";
import { type AceError, costOf, type Guard, type GuardContent, toJson } from "./guard.ts";

/** The result of running the guards. `guardsRun` counts the guards that were started, including one that raised or failed. */
export type GuardsOutcome =
  | { readonly outcome: "passed"; readonly guardsRun: number; readonly partlyChecked: readonly PartlyCheckedBy[] }
  | { readonly outcome: "raised"; readonly guardName: string; readonly error: AceError; readonly guardsRun: number }
  | { readonly outcome: "failed"; readonly guardName: string; readonly reason: string; readonly guardsRun: number };

/** A guard that passed content without having looked at all of it. */
export interface PartlyCheckedBy {
  readonly guardName: string;
  /** What it did not look at. */
  readonly reason: string;
}

/** What the guards are run with. */
export interface GuardSettings {
  readonly guards: readonly Guard[];
  /** Milliseconds that one guard may take before it fails closed. */
  readonly guardTimeoutMs: number;
  /** Whom the content is guarded for: large content waits in turn by it. */
  readonly client?: Client;
}

/**
 * Runs the guards one after another, in their order, and stops at the first that does not pass (section 7). A guard that
 * throws or takes longer than `guardTimeoutMs` fails closed: the outcome is "failed", for which the caller answers
 * GUARD_FAILED. Content without texts passes without running any guard. Large content waits for its turn, which is not
 * counted as a guard's time.
 * @throws TryAgainError where too much large content waits already; no guard was run.
 */
export async function runGuards(settings: GuardSettings, content: GuardContent): Promise<GuardsOutcome> {
  const cost = costOf(content, LARGE_CHARACTERS);
  if (cost === 0) return { outcome: "passed", guardsRun: 0, partlyChecked: [] };
  if (cost < LARGE_CHARACTERS) return runInOrder(settings, content);
  return inTurn(settings.client, toJson(content).length, () => runInOrder(settings, content));
}

async function runInOrder({ guards, guardTimeoutMs }: GuardSettings, content: GuardContent): Promise<GuardsOutcome> {
  let guardsRun = 0;
  const partlyChecked: PartlyCheckedBy[] = [];
  for (const guard of guards) {
    guardsRun += 1;
    const checkOutcome = await checkOutcomeOf(guard, content, guardTimeoutMs);
    switch (checkOutcome.kind) {
      case "passes":
        continue;
      case "passes_partly":
        partlyChecked.push({ guardName: guard.name, reason: checkOutcome.reason });
        continue;
      case "raises":
        return { outcome: "raised", guardName: guard.name, error: checkOutcome.error, guardsRun };
      case "fails":
        return { outcome: "failed", guardName: guard.name, reason: checkOutcome.reason, guardsRun };
    }
  }
  return { outcome: "passed", guardsRun, partlyChecked };
}

/** The outcome of one guard's check. */
type CheckOutcome =
  | { readonly kind: "passes" }
  | { readonly kind: "passes_partly"; readonly reason: string }
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
    const hasPassed = checkOutcome.kind === "passes" || checkOutcome.kind === "passes_partly";
    return hasPassed && performance.now() - startedAt > timeoutMs ? timedOut : checkOutcome;
  } finally {
    clearTimeout(timer);
  }
}

// Errors are caught here and not around the race: a guard that throws after the time limit would otherwise cause an
// unhandled rejection.
async function answerOf(guard: Guard, content: GuardContent, signal: AbortSignal): Promise<CheckOutcome> {
  try {
    const answer = await guard.check(content, signal);
    if (answer === null) return { kind: "passes" };
    if (answer.code === "PARTLY_CHECKED") return { kind: "passes_partly", reason: answer.reason };
    return { kind: "raises", error: answer };
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

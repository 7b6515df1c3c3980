import type { AceError, Guard, GuardContent } from "./guard.ts";

/** What the guards said. `guardsRun` counts those that were started, the one that raised or failed included. */
export type GuardsOutcome =
  | { readonly outcome: "passed"; readonly guardsRun: number }
  | { readonly outcome: "raised"; readonly guardName: string; readonly error: AceError; readonly guardsRun: number }
  | { readonly outcome: "failed"; readonly guardName: string; readonly reason: string; readonly guardsRun: number };

/**
 * Runs the guards one after another, in their order, and stops at the first that does not pass. A guard that throws or
 * needs more than `timeoutMs` milliseconds fails closed: "failed", which the caller answers with GUARD_FAILED. Never
 * rejects. Content without texts runs nothing.
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
    const verdict = await verdictOf(guard, content, timeoutMs);
    switch (verdict.kind) {
      case "passes":
        continue;
      case "raises":
        return { outcome: "raised", guardName: guard.name, error: verdict.error, guardsRun };
      case "fails":
        return { outcome: "failed", guardName: guard.name, reason: verdict.reason, guardsRun };
    }
  }
  return { outcome: "passed", guardsRun };
}

type Verdict =
  | { readonly kind: "passes" }
  | { readonly kind: "raises"; readonly error: AceError }
  | { readonly kind: "fails"; readonly reason: string };

async function verdictOf(guard: Guard, content: GuardContent, timeoutMs: number): Promise<Verdict> {
  const late: Verdict = { kind: "fails", reason: `did not answer within ${timeoutMs} ms` };
  const stop = new AbortController();
  const startedAt = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<Verdict>((resolve) => {
    timer = setTimeout(() => {
      resolve(late);
      stop.abort();
    }, timeoutMs);
  });
  try {
    const verdict = await Promise.race([answerOf(guard, content, stop.signal), timeout]);
    // A guard that never gives up its turn beats the timer, however late it is. Its finding still counts; its pass
    // does not, so that the same limit holds for every guard.
    return verdict.kind === "passes" && performance.now() - startedAt > timeoutMs ? late : verdict;
  } finally {
    clearTimeout(timer);
  }
}

// Catches here, and not around the race: a guard that throws after its time is up must not become an unhandled rejection.
async function answerOf(guard: Guard, content: GuardContent, signal: AbortSignal): Promise<Verdict> {
  try {
    const error = await guard.check(content, signal);
    return error === null ? { kind: "passes" } : { kind: "raises", error };
  } catch (cause) {
    return { kind: "fails", reason: reasonOf(cause) };
  }
}

const builtInErrors = [TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError];

// The message and even the name of an error are its thrower's words and may quote the content: neither is passed on.
function reasonOf(cause: unknown): string {
  const known = builtInErrors.find((type) => cause instanceof type);
  return known === undefined ? "threw an error" : `threw a ${known.name}`;
}

import { type GuardContent, type GuardedText, type PromptInjectionDetected, textsOf } from "./guard.ts";
import { type Form, formsFor } from "./patterns.ts";
import { type Injection, type ScannedText, scanText } from "./scan-text.ts";

/** What a scan of content came to. */
export interface ScanOutcome {
  /** The first injection, as the error to raise; null where there is none. */
  readonly error: PromptInjectionDetected | null;
  /** The encoded characters that were not looked at: nested too deep, or too many. */
  readonly charactersLeftOut: number;
}

const builtInForms = formsFor([]);

/**
 * Seeks injections in all texts of some content. Pure: it also runs in worker threads.
 * @returns the outcome at the first injection, or at the end.
 */
export function scanContent(content: GuardContent): ScanOutcome {
  const forms = content.patterns.length === 0 ? builtInForms : formsFor(content.patterns);
  let charactersLeftOut = 0;
  for (const text of textsOf(content)) {
    const scanned = resultOf(text, forms);
    charactersLeftOut += scanned.charactersLeftOut;
    if (scanned.injection !== null) return { error: injectionFound(text, scanned.injection), charactersLeftOut };
  }
  return { error: null, charactersLeftOut };
}

function resultOf(text: GuardedText, forms: readonly Form[]): ScannedText {
  const scan = scanText(text, forms);
  for (let step = scan.next(); ; step = scan.next()) if (step.done === true) return step.value;
}

function injectionFound({ path, sourceId }: GuardedText, { trigger, description }: Injection): PromptInjectionDetected {
  return {
    code: "ACE-014",
    violationType: "PROMPT_INJECTION",
    trigger: `${trigger} of ${path}`,
    description: `${path}: ${description}`,
    sourceId,
  };
}

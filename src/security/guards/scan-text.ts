import { withBoundaries } from "./boundaries.ts";
import { readingsOf } from "./disguises/readings.ts";
import { GRAMMAR_VERSION } from "./grammar/grammar.ts";
import type { GuardedText } from "./guard.ts";
import { foldLookAlike } from "./look-alike.ts";
import { type Override, overrideIn } from "./overrides.ts";
import { type Form, type PatternMatch, patternIn } from "./patterns.ts";

/** An injection that a text has. */
export interface Injection {
  /** What was found and where in the text, without the text's own words. */
  readonly trigger: string;
  /** The form or reading of the text that has it, and what it has. */
  readonly description: string;
}

/** What a scan of one text came to. */
export interface ScannedText {
  /** The first injection; null where there is none. */
  readonly injection: Injection | null;
  /** The encoded characters that were not looked at before the scan ended: nested too deep, or too many. */
  readonly charactersLeftOut: number;
}

// A disguise makes an override longer.
const shortestDisguise = 12;

/**
 * Seeks injections in one text. Pure: it also runs in worker threads. Yields the characters that each step looked at, by which the
 * work can be counted.
 * @param forms those of the patterns to seek: see `formsFor`.
 */
export function* scanText(guarded: GuardedText, forms: readonly Form[]): Generator<number, ScannedText> {
  const { text } = guarded;
  const marked = withBoundaries(guarded);
  let lookAlike = "";
  for (const form of forms) {
    const folded = form.fold(marked);
    if (form.fold === foldLookAlike) lookAlike = folded;
    const match = patternIn(folded, form);
    if (match !== null) return found(patternFound(match, form));
    yield text.length;
  }
  const override = overrideIn(text, lookAlike);
  if (override !== null) return found(overrideFound(override, ""));
  yield text.length;
  if (text.length < shortestDisguise) return NOTHING;
  const readings = readingsOf(text, budgetOf(text));
  for (let reading = readings.next(); ; reading = readings.next()) {
    if (reading.done === true) return { injection: null, charactersLeftOut: reading.value };
    const disguised = overrideIn(reading.value.text);
    if (disguised !== null) return found(overrideFound(disguised, reading.value.name));
    yield reading.value.text.length;
  }
}

const NOTHING: ScannedText = { injection: null, charactersLeftOut: 0 };

function found(injection: Injection): ScannedText {
  return { injection, charactersLeftOut: 0 };
}

// Base64 in Base64 in Base64 has less than twice as many characters as the text in all: what has more is made to.
function budgetOf(text: string): number {
  return 4 * text.length;
}

function patternFound({ pattern, start }: PatternMatch, { name }: Form): Injection {
  const shortPattern = Array.from(pattern).slice(0, 40).join("");
  return {
    trigger: `pattern "${shortPattern}" at character ${start} of the folded text (${name} form)`,
    description: `The ${name} form of the text contains a pattern of the prompt injection list.`,
  };
}

function overrideFound({ rule, form, offset }: Override, reading: string): Injection {
  const formName = reading === "" ? `${form} form` : `${form} form, read as ${reading}`;
  return {
    trigger: `rule ${rule}, grammar ${GRAMMAR_VERSION}, at character ${offset} of the folded text (${formName})`,
    description: `The text contains an override of the grammar (${formName}).`,
  };
}

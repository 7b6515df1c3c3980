import { withBoundaries } from "./boundaries.ts";
import { maxDepth, readingsOf } from "./disguises/readings.ts";
import { GRAMMAR_VERSION } from "./grammar/grammar.ts";
import type { GuardedText } from "./guard.ts";
import { foldLookAlike } from "./look-alike.ts";
import { type Override, overrideIn } from "./overrides.ts";
import { type Form, patternIn } from "./patterns.ts";

/** An injection that a text has. */
export interface Injection {
  /** What was found and where in the text, without the text's own words. */
  readonly trigger: string;
  /** The form or reading of the text that has it, and what it has. */
  readonly description: string;
}

// A disguise makes an override longer.
const shortestDisguise = 12;

/**
 * Seeks injections in one text. Pure: a worker thread can run it, too. Yields the characters that each step looked at, so that the
 * caller can let other work go on, stop, or count the work.
 * @param forms those of the patterns to seek: see `formsFor`.
 */
export function* scanText(guarded: GuardedText, forms: readonly Form[]): Generator<number, Injection | null> {
  const { text } = guarded;
  const marked = withBoundaries(guarded);
  let lookAlike = "";
  for (const form of forms) {
    const folded = form.fold(marked);
    if (form.fold === foldLookAlike) lookAlike = folded;
    const match = patternIn(folded, form);
    if (match !== null) {
      const shortPattern = Array.from(match.pattern).slice(0, 40).join("");
      const trigger = `pattern "${shortPattern}" at character ${match.start} of the folded text (${form.name} form)`;
      return {
        trigger,
        description: `The ${form.name} form of the text contains a pattern of the prompt injection list.`,
      };
    }
    yield text.length;
  }
  const override = overrideIn(text, lookAlike);
  if (override !== null) return injection(text, override, "");
  yield text.length;
  if (text.length < shortestDisguise) return null;
  for (const reading of readingsOf(text, budgetOf(text))) {
    const found = overrideIn(reading.text);
    if (found !== null) return injection(text, found, reading.name);
    yield reading.text.length;
  }
  return null;
}

// Base64 in Base64 in Base64 has less than twice as many characters as the text in all: what has more is made to.
function budgetOf(text: string): number {
  return 4 * text.length;
}

function injection(text: string, { rule, form, offset }: Override, reading: string): Injection {
  const formName = reading === "" ? `${form} form` : `${form} form, read as ${reading}`;
  const leftOut = charactersLeftOut(text);
  const rest = `${leftOut} encoded characters were not looked at: they are nested more than ${maxDepth} deep, or too many.`;
  return {
    trigger: `rule ${rule}, grammar ${GRAMMAR_VERSION}, at character ${offset} of the folded text (${formName})`,
    description: `The text contains an override of the grammar (${formName}).${leftOut === 0 ? "" : ` ${rest}`}`,
  };
}

function charactersLeftOut(text: string): number {
  const readings = readingsOf(text, budgetOf(text));
  for (let reading = readings.next(); ; reading = readings.next()) if (reading.done === true) return reading.value;
}

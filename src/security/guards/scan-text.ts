import { readingsOf } from "./disguises/readings.ts";
import { GRAMMAR_VERSION } from "./grammar/grammar.ts";
import type { GuardedText } from "./guard.ts";
import { foldLookAlike } from "./look-alike.ts";
import { overrideIn } from "./overrides.ts";
import { type Form, patternIn } from "./patterns.ts";
import { withWalls } from "./walls.ts";

/** An injection that a text has. */
export interface Injection {
  /** What was found and where in the text, without the text's own words. */
  readonly trigger: string;
  /** The form or reading of the text that has it. */
  readonly form: string;
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
  const walled = withWalls(guarded);
  let lookAlike = "";
  for (const form of forms) {
    const folded = form.fold(walled);
    if (form.fold === foldLookAlike) lookAlike = folded;
    const match = patternIn(folded, form);
    if (match !== null) {
      const shortPattern = Array.from(match.pattern).slice(0, 40).join("");
      const trigger = `pattern "${shortPattern}" at character ${match.start} of the folded text (${form.name} form)`;
      return { trigger, form: `${form.name} form` };
    }
    yield text.length;
  }
  const override = overrideIn(text, lookAlike);
  if (override !== null) return injection("", override);
  yield text.length;
  if (text.length < shortestDisguise) return null;
  for (const reading of readingsOf(text, 4 * text.length)) {
    const found = overrideIn(reading.text);
    if (found !== null) return injection(reading.name, found);
    yield reading.text.length;
  }
  return null;
}

function injection(reading: string, { rule, form, offset }: NonNullable<ReturnType<typeof overrideIn>>): Injection {
  const formName = reading === "" ? `${form} form` : `${form} form, read as ${reading}`;
  const where = `at character ${offset} of the folded text (${formName})`;
  return { trigger: `rule ${rule} of grammar ${GRAMMAR_VERSION} ${where}`, form: formName };
}

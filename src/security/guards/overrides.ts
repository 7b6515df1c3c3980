import { type ChatToken, chatTokenIn } from "./chat-tokens.ts";
import { foldCompatible, hasOtherScripts } from "./compatible.ts";
import { rot13 } from "./disguises/decodings.ts";
import { corrector } from "./disguises/typos.ts";
import { english } from "./grammar/en.ts";
import { grammars } from "./grammar/grammars.ts";
import { type LetterMatch, type LetterScan, letterScan } from "./grammar/letter-scan.ts";
import { phraseAutomaton, type Spelling } from "./grammar/phrase-automaton.ts";
import { foldLookAlike } from "./look-alike.ts";
import { withWalls } from "./walls.ts";

/** An override that a reading of a text has. */
export interface Override {
  /** What was found, for people. */
  readonly rule: string;
  readonly form: string;
  /** A character of the folded text: the last of the match, and the first of a token. */
  readonly offset: number;
}

/** The scans of the grammars, and the correction of typing errors. */
interface Scans {
  readonly lookAlike: LetterScan;
  readonly compatible: LetterScan;
  readonly corrected: (folded: string) => string | null;
}

let made: Scans | undefined;

// When they are first needed: most commands of the server scan nothing.
function scans(): Scans {
  made ??= makeScans();
  return made;
}

// Leet: figures and signs that stand for letters. 0 and 1 are letters in the look-alike form anyway.
const leet = "3e 4a 5s 7t 8b 9g @a $s";

function makeScans(): Scans {
  const lookAlike = grammars.filter(({ form }) => form === "look-alike");
  const spellings: Spelling[] = [
    ...lookAlike.map((grammar) => ({ grammar, fold: foldLookAlike })),
    { grammar: { ...english, language: "en, ROT13" }, fold: (char) => foldLookAlike(rot13(char)) },
    { grammar: { ...english, language: "en, backwards" }, fold: foldLookAlike, backwards: true },
  ];
  const compatible = grammars
    .filter(({ form }) => form === "compatible")
    .map((grammar) => ({ grammar, fold: foldCompatible }));
  const words = lookAlike.flatMap(({ classes }) => Object.values(classes).flatMap((phrases) => phrases.split(/[, ]+/)));
  const fold = (each: string) => foldLookAlike(each).replace(/[^\p{L}\p{N}*]/gu, "");
  return {
    lookAlike: letterScan(phraseAutomaton(spellings, leet)),
    compatible: letterScan(phraseAutomaton(compatible, "")),
    corrected: corrector(
      words.map(fold).filter((word) => !word.endsWith("*")),
      realWords.map(fold),
    ),
  };
}

const realWords: readonly string[] = [];

/**
 * Seeks overrides in one reading of a text: by the grammars, also where typing errors are corrected, and tokens of chat templates.
 * @param text the reading.
 * @param folded the look-alike form of the text with its walls; made here when it is not given.
 */
export function overrideIn(text: string, folded: string = foldLookAlike(withWalls({ text }))): Override | null {
  const token = chatTokenIn(text);
  if (token !== null) return tokenFound(token);
  const { lookAlike, compatible, corrected } = scans();
  const match = lookAlike(folded);
  if (match !== null) return ruleFound(match, "look-alike");
  const better = corrected(folded);
  const correctedMatch = better === null ? null : lookAlike(better);
  if (correctedMatch !== null) return ruleFound(correctedMatch, "corrected");
  const otherMatch = hasOtherScripts(text) ? compatible(foldCompatible(withWalls({ text }))) : null;
  return otherMatch === null ? null : ruleFound(otherMatch, "compatible");
}

function tokenFound({ name, start }: ChatToken): Override {
  return { rule: `chat token, ${name}`, form: "unfolded", offset: start };
}

function ruleFound({ rule: { name, language }, end }: LetterMatch, form: string): Override {
  return { rule: `${name} (${language})`, form, offset: end };
}

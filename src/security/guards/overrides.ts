import { withBoundaries } from "./boundaries.ts";
import { type ChatToken, chatTokenIn } from "./chat-tokens.ts";
import { foldCompatible, hasOtherScripts } from "./compatible.ts";
import { rot13 } from "./disguises/decodings.ts";
import { corrector } from "./disguises/typos.ts";
import { english } from "./grammar/en.ts";
import type { Grammar } from "./grammar/grammar.ts";
import { grammars } from "./grammar/grammars.ts";
import { type LetterMatch, letterScan } from "./grammar/letter-scan.ts";
import { phraseAutomaton, type Spelling } from "./grammar/phrase-automaton.ts";
import { foldLookAlike } from "./look-alike.ts";

/** An override that a reading of a text has. */
export interface Override {
  /** What was found, for people. */
  readonly rule: string;
  readonly form: string;
  /** A character of the folded text: the last of the match, and the first of a token. */
  readonly offset: number;
}

// Leet: figures and signs that stand for letters. 0 and 1 are letters in the look-alike form anyway; in it, i is l.
const leet = "3e 4a 5s 7t 8b 9g @a $s !l";

// Each is made when it is first needed: most commands of the server scan nothing, and most texts are in one script.
const lookAlikeScan = once(() => {
  const spellings: Spelling[] = [
    ...grammarsOf("look-alike").map((grammar) => ({ grammar, fold: foldLookAlike })),
    { grammar: { ...english, language: "en, ROT13" }, fold: (char) => foldLookAlike(rot13(char)) },
    { grammar: { ...english, language: "en, backwards" }, fold: foldLookAlike, backwards: true },
    {
      grammar: { ...english, language: "en, ROT13, backwards" },
      fold: (char) => foldLookAlike(rot13(char)),
      backwards: true,
    },
  ];
  return letterScan(phraseAutomaton(spellings, leet));
});
const compatibleScan = once(() => {
  const spellings = grammarsOf("compatible").map((grammar) => ({ grammar, fold: foldCompatible }));
  return letterScan(phraseAutomaton(spellings, ""));
});
const correction = once(() => {
  // The end of a word tells its form, in most languages by more letters than in English.
  const languages = grammarsOf("look-alike").map((grammar) => ({ grammar, end: grammar === english ? 1 : 3 }));
  const words = languages
    .toReversed()
    .flatMap(({ grammar, end }) => wordsOf(grammar).map((word) => [word, end] as const));
  return corrector(new Map(words));
});

function wordsOf({ classes }: Grammar): string[] {
  const words = Object.values(classes).flatMap((phrases) => phrases.split(/[, \n]+/));
  return words.filter((word) => !word.endsWith("*")).map((word) => foldLookAlike(word).replace(/[^\p{L}\p{N}]/gu, ""));
}

function grammarsOf(form: Grammar["form"]): readonly Grammar[] {
  return grammars.filter((grammar) => grammar.form === form);
}

function once<Made>(make: () => Made): () => Made {
  let made: Made | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

// No override is as short as this in any language.
const shortest = 5;

/**
 * Seeks overrides in one reading of a text: by the grammars, also where typing errors are corrected, and tokens of chat templates.
 * @param text the reading.
 * @param folded the look-alike form of the text with its boundaries; made here when it is not given.
 */
export function overrideIn(text: string, folded: string = foldLookAlike(withBoundaries({ text }))): Override | null {
  if (text.length < shortest) return null;
  const token = chatTokenIn(text);
  if (token !== null) return tokenFound(token);
  const lookAlike = lookAlikeScan();
  const match = lookAlike(folded);
  if (match !== null) return ruleFound(match, "look-alike");
  const correctedMatch = lookAlike(correction()(folded));
  if (correctedMatch !== null) return ruleFound(correctedMatch, "corrected");
  const otherMatch = hasOtherScripts(text) ? compatibleScan()(foldCompatible(withBoundaries({ text }))) : null;
  return otherMatch === null ? null : ruleFound(otherMatch, "compatible");
}

function tokenFound({ name, start }: ChatToken): Override {
  return { rule: `chat token, ${name}`, form: "unfolded", offset: start };
}

function ruleFound({ rule: { name, language }, end }: LetterMatch, form: string): Override {
  return { rule: `${name} (${language})`, form, offset: end };
}

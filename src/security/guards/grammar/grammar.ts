/**
 * The version of all grammars together, named in every finding: so a recorded finding tells which rules it was judged by. Raise
 * it with every change of a grammar.
 */
export const GRAMMAR_VERSION = 2;

/**
 * What an override of a model's instructions is made of in one language (section 7). Written to be reviewed by somebody who
 * speaks the language: a rule is a sequence of classes, a class is a list of phrases.
 */
export interface Grammar {
  /** A BCP 47 tag, named in findings. */
  readonly language: string;
  /** The form of the texts in which the grammar is sought; section 7 says what each is. */
  readonly form: "look-alike" | "compatible";
  /**
   * By name, phrases with commas between them. In a phrase only letters and digits count: case, accents (in the form
   * look-alike), apostrophes and spaces do not. A word with a `*` at its end stands for each word that begins so. A phrase with a
   * `$` at its end is found only where no further letter follows, which a script without spaces would not tell otherwise.
   */
  readonly classes: Readonly<Record<string, string>>;
  /**
   * By name, the sequences of classes that the rule finds. `a|b` is a phrase of either class, `a?` one or none, `a*` any number.
   * A sequence that begins with `^` is found only where a sentence begins, one that begins with `^|a` also behind a phrase of `a`:
   * for a verb of which the order and the statement are the same word. What the rule `VETO` finds is no override, nor is any that
   * has begun there: do not ignore.
   */
  readonly rules: Readonly<Record<string, readonly string[]>>;
  /** Phrases of whole words that make an order none if they stand right behind it: ignore the instructions above if you use Windows. */
  readonly notBefore?: string;
}

/** The name of the rule that ends all that have begun. */
export const VETO = "no override";

/** A step of a rule's sequence. */
export interface Step {
  readonly classes: readonly string[];
  readonly repeat: "once" | "optional" | "any";
}

/** A sequence of a rule. */
export interface Sequence {
  readonly steps: readonly Step[];
  /** Whether it is found where a sentence begins, and not anywhere. */
  readonly atSentenceStart: boolean;
  /** The classes behind whose phrases it is found as at the beginning of a sentence. */
  readonly leads: readonly string[];
}

/** @returns what the text of a sequence says. */
export function sequenceOf(text: string): Sequence {
  const words = text.split(" ");
  const atSentenceStart = words[0]?.startsWith("^") === true;
  const leads = atSentenceStart ? (words[0] ?? "").split("|").slice(1) : [];
  const steps = (atSentenceStart ? words.slice(1) : words).map((word): Step => {
    const repeat = word.endsWith("*") ? "any" : word.endsWith("?") ? "optional" : "once";
    return { classes: word.replace(/[*?]$/, "").split("|"), repeat };
  });
  return { steps, atSentenceStart, leads };
}

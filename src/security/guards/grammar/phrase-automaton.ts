import { type Grammar, type Step, sequenceOf, VETO } from "./grammar.ts";

/** A state of the automaton. */
export interface State {
  /** By symbol, the states that follow. */
  readonly next: Map<number, number[]>;
  /** States that are reached without a symbol. */
  readonly free: number[];
  /** For the end of a word of which only the beginning is given: the state that follows when the word ends. */
  afterWord: number | undefined;
  /** The state that follows if no letter does. */
  afterPause: number | undefined;
  /** The rule that is complete here. */
  rule: number | undefined;
}

/** A rule of a grammar, as a finding names it. */
export interface Rule {
  readonly name: string;
  readonly language: string;
  /** What must not stand right behind a match, folded. */
  readonly notBefore: readonly string[];
}

/** A non-deterministic automaton over letters, for all rules of several grammars. Words are not told apart: see `letter-scan.ts`. */
export interface PhraseAutomaton {
  readonly states: readonly State[];
  /** Where rules begin that may begin with any word. */
  readonly start: number;
  /** Where rules begin that must begin with a sentence. */
  readonly sentenceStart: number;
  readonly rules: readonly Rule[];
  /** By code unit, the symbol (0 for a letter that no phrase has). */
  readonly symbols: Uint16Array;
  readonly symbolCount: number;
}

/** How the phrases of a grammar are written in the texts that the automaton reads. */
export interface Spelling {
  readonly grammar: Grammar;
  /** What a character of a phrase becomes in the texts. */
  readonly fold: (char: string) => string;
  /** The text is read from its end: so are the sequences and the phrases. */
  readonly backwards?: boolean;
}

/**
 * Builds the automaton of some grammars.
 * @param aliases pairs of letters, the first of which is read as the second, such as `3e`.
 * @throws Error when a sequence names a class that the grammar does not have.
 */
export function phraseAutomaton(spellings: readonly Spelling[], aliases: string): PhraseAutomaton {
  const builder = new Builder(aliases);
  for (const spelling of spellings) builder.addGrammar(spelling);
  return builder.built();
}

class Builder {
  readonly #states: State[] = [];
  readonly #rules: Rule[] = [];
  readonly #symbols = new Uint16Array(0x10000);
  readonly #aliases: ReadonlyMap<number, number>;
  readonly #start = this.#add();
  readonly #sentenceStart = this.#add();
  #symbolCount = 1;

  constructor(aliases: string) {
    this.#aliases = new Map(aliases.split(" ").map((pair) => [pair.charCodeAt(0), pair.charCodeAt(1)]));
  }

  built(): PhraseAutomaton {
    for (const [from, to] of this.#aliases) this.#symbols[from] = this.#symbols[to] ?? 0;
    return {
      states: this.#states,
      start: this.#start,
      sentenceStart: this.#sentenceStart,
      rules: this.#rules,
      symbols: this.#symbols,
      symbolCount: this.#symbolCount,
    };
  }

  addGrammar(spelling: Spelling): void {
    const { grammar, backwards } = spelling;
    const pathsOf = cachedPaths(spelling.fold);
    const shared = new Map<string, number>();
    const notBefore = notBeforeOf(spelling);
    for (const [name, sequences] of Object.entries(grammar.rules)) {
      const rule = this.#rules.push({ name, language: grammar.language, notBefore }) - 1;
      for (const sequence of sequences) {
        const { steps, atSentenceStart, leads } = sequenceOf(sequence);
        if (atSentenceStart && backwards === true) continue;
        let state = atSentenceStart ? this.#sentenceStart : this.#start;
        let path = atSentenceStart ? "^" : "";
        if (leads.length > 0) {
          path += leads.join("|");
          state = shared.get(path) ?? this.#addStep(this.#start, { classes: leads, repeat: "once" }, spelling, pathsOf);
          if (!shared.has(path)) this.#at(this.#sentenceStart).free.push(state);
          shared.set(path, state);
        }
        for (const step of backwards === true ? steps.toReversed() : steps) {
          path += ` ${step.classes.join("|")}:${step.repeat}`;
          const next: number = shared.get(path) ?? this.#addStep(state, step, spelling, pathsOf);
          shared.set(path, next);
          state = next;
        }
        this.#at(state).rule ??= rule;
      }
    }
  }

  /** @returns the state after the step. */
  #addStep(from: number, { classes, repeat }: Step, { grammar, backwards }: Spelling, pathsOf: PathsOf): number {
    const to = this.#add();
    if (repeat !== "once") this.#at(from).free.push(to);
    const start = repeat === "any" ? to : from;
    const phrases = classes.flatMap((className) => {
      const text = grammar.classes[className];
      if (text === undefined) throw new Error(`${grammar.language}: no class ${className}`);
      return text.split(",").map((phrase) => {
        const chars = Array.from(phrase.normalize("NFC")).filter(
          (char) => /[*$]/.test(char) || pathsOf(char).length > 0,
        );
        return backwards === true ? chars.reverse() : chars;
      });
    });
    // Phrases that begin with the same letters share the states of these, and all share the end.
    const reached = new Map<string, number>();
    const longestFirst = phrases.toSorted((one, other) => other.length - one.length);
    for (const chars of longestFirst) this.#addPhrase(start, chars, to, pathsOf, reached);
    return to;
  }

  /** Adds a phrase, none that begins with it being added later. */
  #addPhrase(from: number, chars: readonly string[], to: number, pathsOf: PathsOf, reached: Map<string, number>): void {
    let state = from;
    let phrase = "";
    for (const [index, char] of chars.entries()) {
      phrase += char;
      const isEnd = index === chars.length - 1;
      const known = reached.get(phrase);
      const target = known ?? (isEnd ? to : this.#add());
      if (known === undefined) {
        reached.set(phrase, target);
        if (char === "*") this.#at(state).afterWord = target;
        else if (char === "$") this.#at(state).afterPause = target;
        else this.#connect(state, pathsOf(char), target);
      } else if (isEnd && known !== to) this.#at(known).free.push(to);
      state = target;
    }
  }

  #connect(from: number, paths: readonly string[], to: number): void {
    for (const path of paths) {
      let state = from;
      for (let index = 0; index < path.length; index += 1) {
        const target = index === path.length - 1 ? to : this.#add();
        const symbol = this.#symbolOf(path.charCodeAt(index));
        const { next } = this.#at(state);
        const targets = next.get(symbol);
        if (targets === undefined) next.set(symbol, [target]);
        else targets.push(target);
        state = target;
      }
    }
  }

  #add(): number {
    const state: State = { next: new Map(), free: [], afterWord: undefined, afterPause: undefined, rule: undefined };
    return this.#states.push(state) - 1;
  }

  #at(index: number): State {
    const state = this.#states[index];
    if (state === undefined) throw new Error(`no state ${index}`);
    return state;
  }

  #symbolOf(char: number): number {
    const unit = this.#aliases.get(char) ?? char;
    if (this.#symbols[unit] === 0) this.#symbols[unit] = this.#symbolCount++;
    return this.#symbols[unit] ?? 0;
  }
}

/** @returns what must not stand behind a match; in a text that is read from its end, what vetoes it begin with. */
function notBeforeOf({ grammar, fold, backwards }: Spelling): readonly string[] {
  const phrasesOf = (text: string): string[] => text.split(",").map((phrase) => phrase.replace(/\s+/g, " ").trim());
  if (backwards !== true) return phrasesOf(grammar.notBefore ?? "").flatMap((each) => wordsOf(fold(each)));
  return (grammar.rules[VETO] ?? [])
    .flatMap((sequence) => sequenceOf(sequence).steps[0]?.classes ?? [])
    .flatMap((name) => phrasesOf(grammar.classes[name] ?? ""))
    .flatMap((phrase) => wordsOf(fold(Array.from(phrase).reverse().join(""))));
}

// With spaces around, but not where a word of a script without spaces may go on.
function wordsOf(folded: string): string[] {
  if (folded === "") return [];
  return [/[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}]$/u.test(folded) ? ` ${folded}` : ` ${folded} `];
}

/** What a character of a phrase may become: each of these is a sequence of letters. */
type PathsOf = (char: string) => readonly string[];

function cachedPaths(fold: Spelling["fold"]): PathsOf {
  const known = new Map<string, readonly string[]>();
  return (char) => {
    const paths = known.get(char) ?? lettersOf(char, fold);
    known.set(char, paths);
    return paths;
  };
}

/**
 * @returns what a character may become: capitals are folded to other letters than small ones are, in Russian; and in a text that
 * was written backwards, rn is still what an m becomes, but nr in the order in which it is read.
 */
function lettersOf(char: string, fold: Spelling["fold"]): readonly string[] {
  const folded = [char, char.toUpperCase()].map((each) => fold(each).replace(/[^\p{L}\p{M}\p{N}]/gu, ""));
  const both = folded.flatMap((letters) => [letters, Array.from(letters).reverse().join("")]);
  return [...new Set(both)].filter((letters) => letters !== "");
}

import { type Grammar, stepsOf } from "./grammar.ts";

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
 * Builds the automaton of some grammars. Sequences with the same beginning share its states.
 * @param aliases units that are read as others are, such as `3` as `e`.
 * @throws Error when a sequence names a class that the grammar does not have.
 */
export function phraseAutomaton(spellings: readonly Spelling[], aliases: string): PhraseAutomaton {
  const states: State[] = [];
  const rules: Rule[] = [];
  const symbols = new Uint16Array(0x10000);
  let symbolCount = 1;
  const add = (): number =>
    states.push({ next: new Map(), free: [], afterWord: undefined, afterPause: undefined, rule: undefined }) - 1;
  const stateAt = (index: number): State => {
    const state = states[index];
    if (state === undefined) throw new Error(`no state ${index}`);
    return state;
  };
  const aliasOf = new Map(aliases.split(" ").map((pair) => [pair.charCodeAt(0), pair.charCodeAt(1)]));
  const symbolOf = (char: number): number => {
    const unit = aliasOf.get(char) ?? char;
    if (symbols[unit] === 0) symbols[unit] = symbolCount++;
    return symbols[unit] ?? 0;
  };
  const connect = (from: number, unit: number, to: number): void => {
    const { next } = stateAt(from);
    const symbol = symbolOf(unit);
    const targets = next.get(symbol);
    if (targets === undefined) next.set(symbol, [to]);
    else if (!targets.includes(to)) targets.push(to);
  };
  const connectAll = (from: number, paths: readonly string[], to: number): void => {
    for (const path of paths) {
      let state = from;
      for (let index = 0; index < path.length; index += 1) {
        const target = index === path.length - 1 ? to : add();
        connect(state, path.charCodeAt(index), target);
        state = target;
      }
    }
  };

  const known = new Map<Spelling["fold"], Map<string, readonly string[]>>();
  const pathsOf = (char: string, fold: Spelling["fold"]): readonly string[] => {
    const paths = known.get(fold) ?? new Map<string, readonly string[]>();
    known.set(fold, paths);
    const found = paths.get(char) ?? lettersOf(char, fold);
    paths.set(char, found);
    return found;
  };
  const addPhrases = (from: number, to: number, phrases: string, { fold, backwards }: Spelling): void => {
    const reached = new Map<string, number>();
    for (const phrase of phrases.split(",")) {
      const chars = Array.from(phrase.normalize("NFC"));
      let state = from;
      let path = "";
      for (const char of backwards === true ? chars.reverse() : chars) {
        const paths = pathsOf(char, fold);
        if (paths.length === 0 && char !== "*" && char !== "$") continue;
        path += char;
        const target: number = reached.get(path) ?? add();
        if (char === "*") stateAt(state).afterWord = target;
        else if (char === "$") stateAt(state).afterPause = target;
        else if (!reached.has(path)) connectAll(state, paths, target);
        reached.set(path, target);
        state = target;
      }
      if (state !== from) stateAt(state).free.push(to);
    }
  };

  const start = add();
  const sentenceStart = add();
  for (const spelling of spellings) {
    const { grammar, backwards } = spelling;
    const after = new Map<string, number>();
    for (const [name, sequences] of Object.entries(grammar.rules)) {
      const rule = rules.push({ name, language: grammar.language }) - 1;
      for (const sequence of sequences) {
        const { steps, atSentenceStart } = stepsOf(sequence);
        if (atSentenceStart && backwards === true) continue;
        let state = atSentenceStart ? sentenceStart : start;
        let path = atSentenceStart ? "^" : "";
        for (const { classes, repeat } of backwards === true ? steps.toReversed() : steps) {
          path += ` ${classes.join("|")}:${repeat}`;
          const shared = after.get(path);
          if (shared !== undefined) {
            state = shared;
            continue;
          }
          const target = add();
          if (repeat !== "once") stateAt(state).free.push(target);
          for (const className of classes) {
            const phrases = grammar.classes[className];
            if (phrases === undefined) throw new Error(`${grammar.language}: no class ${className}`);
            addPhrases(repeat === "any" ? target : state, target, phrases, spelling);
          }
          after.set(path, target);
          state = target;
        }
        stateAt(state).rule ??= rule;
      }
    }
  }
  for (const [from, to] of aliasOf) symbols[from] = symbols[to] ?? 0;
  return { states, start, sentenceStart, rules, symbols, symbolCount };
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

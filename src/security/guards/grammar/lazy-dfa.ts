import type { PhraseAutomaton, State } from "./phrase-automaton.ts";

// Ordinary texts of all languages together need about a thousand states. Where a hostile text wants more than this, all are
// forgotten and made anew, so that memory stays bounded.
const maxStates = 8192;

/**
 * Reads letters with a phrase automaton, in constant time a letter: each set of states that the automaton can be in is one state
 * here, made when it is first reached and kept. A state's number is valid until the next call of `letter` or `word`.
 */
export interface LazyDfa {
  /** Where a sentence begins. */
  readonly sentence: number;
  /** @returns the state after the letter with this symbol. */
  letter(state: number, symbol: number): number;
  /** @returns the state where a word ends or begins. Twice gives the same as once. */
  word(state: number): number;
  /** @returns the rule that is complete if a word ends here, or -1. */
  ruleAt(state: number): number;
  /** How many states were made so far: what a scan costs beside its letters. */
  readonly made: number;
}

/** @returns a reader that shares its states between all texts. */
export function lazyDfa(automaton: PhraseAutomaton): LazyDfa {
  const { symbolCount, states } = automaton;
  // The columns of a row: the symbols, and the border of a word.
  const width = symbolCount + 1;
  const wordColumn = symbolCount;
  let rows = new Int32Array(64 * width);
  let rules: number[] = [];
  let sets: Int32Array[] = [];
  let numbers = new Map<string, number>();
  let made = 0;

  const stateAt = (index: number): State => {
    const state = states[index];
    if (state === undefined) throw new Error(`no state ${index}`);
    return state;
  };
  const withFree = (seeds: Iterable<number>): Int32Array => {
    const found = new Set(seeds);
    for (const index of found) for (const free of stateAt(index).free) found.add(free);
    return Int32Array.from(found).sort();
  };
  const atWord = withFree([automaton.start]);
  const ruleOf = (set: Int32Array): number => {
    for (const index of set) {
      const { rule, afterWord } = stateAt(index);
      if (rule !== undefined) return rule;
      if (afterWord === undefined) continue;
      const after = ruleOf(withFree([afterWord]));
      if (after !== -1) return after;
    }
    return -1;
  };
  const numberOf = (set: Int32Array): number => {
    const key = set.join();
    const known = numbers.get(key);
    if (known !== undefined) return known;
    const number = sets.length;
    made += 1;
    sets.push(set);
    rules.push(ruleOf(set));
    numbers.set(key, number);
    if (sets.length * width > rows.length) {
      const longer = new Int32Array(rows.length * 2);
      longer.set(rows);
      rows = longer;
    }
    return number;
  };
  const begin = (): void => {
    rows = new Int32Array(64 * width);
    rules = [];
    sets = [];
    numbers = new Map();
    numberOf(withFree([automaton.start, automaton.sentenceStart]));
  };
  const after = (set: Int32Array, column: number): Int32Array => {
    const targets: number[] = [];
    for (const index of set) {
      const { next, afterWord } = stateAt(index);
      if (column !== wordColumn) {
        if (afterWord !== undefined) targets.push(index);
        const reached = next.get(column);
        if (reached !== undefined) targets.push(...reached);
      } else targets.push(afterWord ?? index);
    }
    if (column === wordColumn) targets.push(...atWord);
    return withFree(targets);
  };
  const step = (state: number, column: number): number => {
    const known = (rows[state * width + column] ?? 0) - 1;
    if (known >= 0) return known;
    const target = after(sets[state] ?? atWord, column);
    if (sets.length >= maxStates) {
      begin();
      return numberOf(target);
    }
    const number = numberOf(target);
    rows[state * width + column] = number + 1;
    return number;
  };

  begin();
  return {
    sentence: 0,
    letter: step,
    word: (state) => step(state, wordColumn),
    ruleAt: (state) => rules[state] ?? -1,
    get made() {
      return made;
    },
  };
}

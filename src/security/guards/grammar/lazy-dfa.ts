import type { PhraseAutomaton, State } from "./phrase-automaton.ts";

// Ordinary texts of all languages together need some thousand states; a text made to need more, some ten thousand. Where even
// this is not enough, all are forgotten and made anew, so that memory stays bounded: 48 MB for an automaton.
const maxCells = 12 * 1024 * 1024;

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
  /** How many states were made so far: what scans cost beside their letters. */
  readonly made: number;
}

/** @returns a reader that shares its states between all texts. */
export function lazyDfa(automaton: PhraseAutomaton): LazyDfa {
  const { symbolCount, states } = automaton;
  // The columns of a row: the symbols, and the border of a word.
  const width = symbolCount + 1;
  const wordColumn = symbolCount;
  const maxStates = Math.floor(maxCells / width);
  const closures = states.map((_, index) => closureOf(states, index));
  const rulesThere = states.map((_, index) => ruleOf(states, closures, index));
  const collected = setCollector(closures);
  const atWord = collected([automaton.start]);
  let rows = new Int32Array(0);
  let rules: number[] = [];
  let sets: Int32Array[] = [];
  let numbers = new Map<string, number>();
  let made = 0;

  const numberOf = (set: Int32Array): number => {
    const key = String(
      Reflect.apply(String.fromCharCode, undefined, new Uint16Array(set.buffer, set.byteOffset, set.length * 2)),
    );
    const known = numbers.get(key);
    if (known !== undefined) return known;
    const number = sets.length;
    made += 1;
    sets.push(set);
    rules.push(set.reduce((rule, index) => (rule === -1 ? (rulesThere[index] ?? -1) : rule), -1));
    numbers.set(key, number);
    if (sets.length * width > rows.length) {
      const longer = new Int32Array(Math.min(Math.max(rows.length * 2, 64 * width), maxStates * width));
      longer.set(rows);
      rows = longer;
    }
    return number;
  };
  const begin = (): void => {
    rows = new Int32Array(0);
    rules = [];
    sets = [];
    numbers = new Map();
    numberOf(collected([automaton.start, automaton.sentenceStart]));
  };
  const targetsAfter = (set: Int32Array, column: number): number[] => {
    const targets: number[] = [];
    for (const index of set) {
      const { next, afterWord } = states[index] ?? emptyState;
      if (column === wordColumn) targets.push(afterWord ?? index);
      else {
        if (afterWord !== undefined) targets.push(index);
        const reached = next.get(column);
        if (reached !== undefined) targets.push(...reached);
      }
    }
    if (column === wordColumn) targets.push(...atWord);
    return targets;
  };
  const step = (state: number, column: number): number => {
    const known = (rows[state * width + column] ?? 0) - 1;
    if (known >= 0) return known;
    const target = collected(targetsAfter(sets[state] ?? atWord, column));
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

const emptyState: State = { next: new Map(), free: [], afterWord: undefined, rule: undefined };

/** @returns the state and all that are reached from it without a symbol. */
function closureOf(states: readonly State[], seed: number): readonly number[] {
  const found = new Set([seed]);
  for (const index of found) for (const free of states[index]?.free ?? []) found.add(free);
  return [...found];
}

/** @returns the rule that is complete if a word ends in this state, or -1. */
function ruleOf(states: readonly State[], closures: readonly (readonly number[])[], index: number): number {
  const { rule, afterWord } = states[index] ?? emptyState;
  if (rule !== undefined) return rule;
  const after = afterWord === undefined ? [] : (closures[afterWord] ?? []);
  return after.map((each) => states[each]?.rule).find((each) => each !== undefined) ?? -1;
}

/** @returns a function from states to these and all that they reach without a symbol, each once, in order. */
function setCollector(closures: readonly (readonly number[])[]): (targets: readonly number[]) => Int32Array {
  const seenIn = new Uint32Array(closures.length);
  let round = 0;
  return (targets) => {
    round += 1;
    const found: number[] = [];
    for (const target of targets) {
      for (const index of closures[target] ?? []) {
        if (seenIn[index] === round) continue;
        seenIn[index] = round;
        found.push(index);
      }
    }
    return Int32Array.from(found).sort();
  };
}

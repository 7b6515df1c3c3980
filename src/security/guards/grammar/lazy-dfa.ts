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
  /** @returns the state where a word ends or begins; `pause` tells that no letter follows at once. Twice gives the same as once. */
  word(state: number, pause: boolean): number;
  /** @returns the rule that is complete if a word ends here, or -1. */
  ruleAt(state: number, pause: boolean): number;
  /** The state between two words of which the first means nothing. */
  readonly between: number;
  /** How many states were made so far: what scans cost beside their letters. */
  readonly made: number;
}

/**
 * @param cells the most cells that its states may have together.
 * @returns a reader that shares its states between all texts.
 */
export function lazyDfa(automaton: PhraseAutomaton, cells = maxCells): LazyDfa {
  const { symbolCount, states } = automaton;
  // The columns of a row: the symbols, the border of two words, and a border with a pause.
  const width = symbolCount + 2;
  const wordColumn = symbolCount;
  const pauseColumn = symbolCount + 1;
  const maxStates = Math.floor(cells / width);
  const closures = states.map((_, index) => closureOf(states, index));
  const rulesThere = [false, true].map((pause) => states.map((_, index) => ruleOf(states, closures, index, pause)));
  const collected = setCollector(closures);
  const atWord = collected([automaton.start]);
  let rows = new Int32Array(0);
  let rules: (readonly number[])[] = [];
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
    rules.push(rulesThere.map((there) => firstRule(set, there)));
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
    numberOf(atWord);
  };
  const targetsAfter = (set: Int32Array, column: number): number[] => {
    const targets: number[] = [];
    for (const index of set) {
      const { next, afterWord, afterPause } = states[index] ?? emptyState;
      if (column >= wordColumn) {
        targets.push(afterWord ?? index);
        if (column === pauseColumn && afterPause !== undefined) targets.push(afterPause);
      } else {
        if (afterWord !== undefined) targets.push(index);
        const reached = next.get(column);
        if (reached !== undefined) targets.push(...reached);
      }
    }
    if (column >= wordColumn) targets.push(...atWord);
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
    between: 1,
    letter: step,
    word: (state, pause) => step(state, pause ? pauseColumn : wordColumn),
    ruleAt: (state, pause) => rules[state]?.[pause ? 1 : 0] ?? -1,
    get made() {
      return made;
    },
  };
}

const emptyState: State = { next: new Map(), free: [], afterWord: undefined, afterPause: undefined, rule: undefined };

/** @returns the state and all that are reached from it without a symbol. */
function closureOf(states: readonly State[], seed: number): readonly number[] {
  const found = new Set([seed]);
  for (const index of found) for (const free of states[index]?.free ?? []) found.add(free);
  return [...found];
}

/** @returns the rule that is complete if a word ends in this state, or -1. */
function ruleOf(
  states: readonly State[],
  closures: readonly (readonly number[])[],
  index: number,
  pause: boolean,
): number {
  const { rule, afterWord, afterPause } = states[index] ?? emptyState;
  if (rule !== undefined) return rule;
  const after = [afterWord, pause ? afterPause : undefined].flatMap((each) =>
    each === undefined ? [] : (closures[each] ?? []),
  );
  return after.map((each) => states[each]?.rule).find((each) => each !== undefined) ?? -1;
}

/** @returns the first of the rules, by their number, that one of the states has, or -1. Each grammar's vetoes are its first. */
function firstRule(set: Int32Array, rulesThere: readonly number[]): number {
  const found = Array.from(set, (index) => rulesThere[index] ?? -1).filter((rule) => rule !== -1);
  return found.length === 0 ? -1 : Math.min(...found);
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

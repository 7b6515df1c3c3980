import { type Sentence, sentencesOf } from "./sentences.ts";

const words = new Intl.Segmenter(undefined, { granularity: "word" });

/**
 * The length of useful sentences, in characters of an alphabet: shorter ones say too little, longer ones are too long.
 */
const LENGTH = { min: 40, max: 400 };
/** The extra weight of the first sentence: most texts begin with their topic. */
const LEAD = 1.5;

/**
 * An extractive summary: the most important sentences of a text, in their order. A sentence gains weight by frequent
 * terms and by a position where texts state their topic, and loses weight by what the chosen sentences already say. It
 * needs no word list, and works in every language that Intl.Segmenter can split into words.
 * @param max the largest number of sentences.
 */
export function extract(text: string, max = 3): readonly string[] {
  const sentences = sentencesOf(text);
  const complete = sentences.filter(({ isComplete }) => isComplete);
  // A list of headings or a table has no complete sentences: its lines are used instead.
  const candidates = (complete.length > 0 ? complete : sentences).map((sentence) => ({
    sentence,
    terms: new Set(termsOf(sentence.text)),
  }));
  const weights = weigh(sentences);
  const scored = candidates.map((candidate, index) => ({
    ...candidate,
    score: score(candidate, weights, sentences.length) * (index === 0 ? LEAD : 1),
  }));
  return choose(scored, weights, max)
    .toSorted((a, b) => a.sentence.index - b.sentence.index)
    .map(({ sentence }) => sentence.text);
}

interface Candidate {
  readonly sentence: Sentence;
  readonly terms: ReadonlySet<string>;
}

interface Scored extends Candidate {
  readonly score: number;
}

type Weights = ReadonlyMap<string, number>;

/** The meaningful words of a text, normalised so that the forms of a word are one term. */
function termsOf(text: string): readonly string[] {
  const terms: string[] = [];
  for (const { segment, isWordLike } of words.segment(text)) {
    if (isWordLike !== true) continue;
    const term = segment.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
    if (mayCarryMeaning(term)) terms.push(term);
  }
  return terms;
}

// Function words are left out: in Japanese, those without Han characters or katakana; elsewhere, short words.
function mayCarryMeaning(term: string): boolean {
  if (/[\p{sc=Han}\p{sc=Kana}]/u.test(term)) return true;
  return /^\p{L}/u.test(term) && !/\p{sc=Hira}/u.test(term) && term.length > 2;
}

/** A term weighs more if it is frequent, less if it occurs in many sentences, and less if it is short. */
function weigh(sentences: readonly Sentence[]): Weights {
  const times = new Map<string, number>();
  const spread = new Map<string, number>();
  for (const { text } of sentences) {
    const terms = termsOf(text);
    for (const term of terms) times.set(term, (times.get(term) ?? 0) + 1);
    for (const term of new Set(terms)) spread.set(term, (spread.get(term) ?? 0) + 1);
  }
  const weightOf = (term: string, count: number) =>
    Math.log(1 + count) * Math.log(1 + sentences.length / (spread.get(term) ?? 1)) * substance(term);
  return new Map(Array.from(times, ([term, count]) => [term, weightOf(term, count)]));
}

function substance(term: string): number {
  return /[\p{sc=Han}\p{sc=Kana}]/u.test(term) ? 1 : Math.min(term.length, 8) / 8;
}

function score({ sentence, terms }: Candidate, weights: Weights, count: number): number {
  let sum = 0;
  for (const term of terms) sum += weights.get(term) ?? 0;
  // Divided by the square root of the number of terms: the sum would favour the longest sentence, the mean the
  // shortest.
  const content = sum / Math.sqrt(Math.max(terms.size, 4));
  const place = 1 + 0.3 * (1 - sentence.index / count) + (sentence.inParagraph === 0 ? 0.15 : 0);
  return content * place * lengthFactor(sentence.text);
}

function lengthFactor(text: string): number {
  const length = text.length * (/\p{sc=Han}/u.test(text) ? 2.5 : 1);
  return Math.min(1, length / LENGTH.min, LENGTH.max / length);
}

/** Chooses the best sentence, and then repeatedly the one that is best after deducting what is already said. */
function choose(scored: readonly Scored[], weights: Weights, max: number): readonly Scored[] {
  const chosen: Scored[] = [];
  const left = new Set(scored);
  while (chosen.length < max && left.size > 0) {
    const gain = ({ terms, score }: Scored) =>
      score * (1 - Math.max(0, ...chosen.map((c) => overlap(terms, c.terms, weights))));
    const best = [...left].reduce((a, b) => (gain(b) > gain(a) ? b : a));
    chosen.push(best);
    left.delete(best);
  }
  return chosen;
}

/** The share of a sentence's weight that another sentence also has: 0 to 1. */
function overlap(terms: ReadonlySet<string>, others: ReadonlySet<string>, weights: Weights): number {
  let all = 0;
  let shared = 0;
  for (const term of terms) {
    const weight = weights.get(term) ?? 0;
    all += weight;
    if (others.has(term)) shared += weight;
  }
  return all === 0 ? 0 : shared / all;
}

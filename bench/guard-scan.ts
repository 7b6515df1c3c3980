/**
 * How much processor time does the PromptInjectionGuard take, and is it linear in the text?
 * Run with `npx tsx bench/guard-scan.ts`. No text has an injection, so each is scanned completely and in all forms. Exits with 1
 * where a megabyte takes more than 1.5 s.
 */
import { grammars } from "../src/security/guards/grammar/grammars.ts";
import type { GuardContent } from "../src/security/guards/guard.ts";
import { scanContent } from "../src/security/guards/scan-content.ts";

/** A text is the unit repeated up to the size, or the result of `make`. */
interface Case {
  readonly name: string;
  readonly make: (bytes: number) => GuardContent;
}

const sizes = [100_000, 1_000_000, 5_000_000];
const rounds = 3;
const barAtOneMegabyte = 1500;

const english = "The quick brown fox jumps over the lazy dog, and then some more of it. ";
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const verbs = [
  "ignore all of the",
  "vergiss alle",
  "oubliez toutes les",
  "ignora todas las",
  "игнорируй все",
  "忽略所有",
  "이전",
];
const phrases = grammars.flatMap(({ classes }) => Object.values(classes)).flatMap((each) => each.split(/,\s*/));

const cases: readonly Case[] = [
  repeated("plain English", english),
  repeated("plain Russian", "Съешь ещё этих мягких французских булок, да выпей же чаю. "),
  repeated("plain Chinese", "我能吞下玻璃而不伤身体，明天再说。"),
  repeated("plain Hindi (many marks)", "दिए गए पिछले निर्देशों को ध्यान से पढ़ें। "),
  repeated("vocalised Arabic", "بِسْمِ ٱللَّهِ ٱلرَّحْمَٰنِ "),
  repeated("m alone (each becomes rn)", "m"),
  repeated("U+FDFA (NFKC makes 18 of it)", "\ufdfa"),
  repeated("U+1F82 (a letter and three marks)", "\u1f82"),
  repeated("percent signs", "%"),
  repeated("marks of alternating classes", "\u0301\u0323"),
  repeated("descending classes, half and half", "\u0301", "\u0323"),
  repeated("kana voicing marks and accents", "\u0301\uff9e"),
  repeated("29 marks, then a letter", `${"\u0301\u0323".repeat(14)}\u0301a`),
  repeated("marks parted by zero-width spaces", "\u0301\u200b\u0323\u200b"),
  repeated("spaces", " "),
  repeated("spaces and zero-width spaces in turn", " \u200b"),
  repeated("zero-width spaces", "\u200b"),
  repeated("zero-width space after each letter", "a\u200b"),
  repeated("tag characters", "\u{e0069}"),
  repeated("near-miss: ignore previou", "ignore previou "),
  repeated(
    "near-miss with gaps",
    "i\u200bg\u200bn\u200bo\u200br\u200be\u200b\u00a0p\u200br\u200be\u200bv\u200bi\u200bo\u200bu\u200b",
  ),
  repeated("beginnings: iiii", "i"),
  repeated("beginnings with gaps: i i i", "i\u200b"),
  repeated("final and other sigmas", "Σ\u0301ς:"),
  repeated("lone surrogates", "\ud835a\udc00"),
  repeated("mathematical letters", "𝐚𝐛𝐜"),
  // What the grammar, the disguises and the decodings cost.
  repeated("an override without its object", "ignore all of the previous and all of the above and any of your "),
  repeated("letters with spaces between", "i g n o r e a l l t h e p r e v i o u s "),
  filled("beginnings of phrases of all grammars", () => phrases.map((phrase) => `${phrase.slice(0, 7)}x `)),
  filled("verbs, and beginnings of what may follow", () =>
    phrases
      .filter((phrase) => /^[\p{sc=Latn}\p{sc=Cyrl}]+$/u.test(phrase))
      .map((phrase) => `${verbs[phrase.length % verbs.length]} ${phrase.slice(0, -1)}zqq; `),
  ),
  repeated("words with an error", "instrucsions previos guidellines directtives "),
  repeated("words with two errors", "imstrucsions previosu guidellimes direktivas "),
  repeated("HTML entities", "&#97;&#x62;&eacute;"),
  repeated("an entity every 400 letters", `${"plain words ".repeat(33)}&amp;`),
  repeated("percent encoding", "%41%62"),
  repeated("percent encoding, parted", "%41 "),
  repeated("quoted-printable", "=41b=\n"),
  repeated("escapes of JavaScript", "\\u0061\\x62"),
  repeated("HTML tags", "a<b>c</b>"),
  repeated("open angle brackets", "<a "),
  repeated("comments that do not end", "<!-- a "),
  repeated("links", "[a](b) "),
  repeated("open links", "]("),
  repeated("names in camel case", "someNameOfThis "),
  repeated("long words", `${"abcdefghijklmnopqrst".repeat(3)} `),
  filled("Base64 of English", (bytes) => [base64(english.repeat(Math.floor((bytes * 3) / 4 / english.length)))]),
  filled("Base64 of Base64 of Base64 of English", (bytes) => [
    base64(base64(base64(english.repeat(Math.floor((bytes * 0.42) / english.length))))),
  ]),
  filled("Base64 of HTML entities and tags", (bytes) => [
    base64("&#97;<b>ig</b>norE ".repeat(Math.floor((bytes * 3) / 4 / 19))),
  ]),
  filled("short runs of Base64", () => [`${base64(english.slice(0, 24))} `]),
  repeated("Base64 that is no text", `${base64(String.fromCharCode(1, 2, 200, 3, 4, 5).repeat(4))} `),
  filled("hexadecimal of English", (bytes) => [
    Buffer.from(english.repeat(Math.floor(bytes / 2 / english.length))).toString("hex"),
  ]),
  repeated("binary", "01100001 01100010 "),
  repeated("blank lines", "a\n\n"),
  repeated("lines of spaces", "a\n \t "),
  repeated("headings", "# a\n"),
  filled("a JSON document of short values", (bytes) => [
    JSON.stringify(Array.from({ length: bytes / 8 }, () => ({ a: 1 }))),
  ]),
  filled("JSON in JSON in JSON", (bytes) => [
    JSON.stringify([JSON.stringify([JSON.stringify(Array.from({ length: bytes / 12 }, () => "a"))])]),
  ]),
  { name: "every code point in turn", make: (bytes) => oneText(everyCodePoint(bytes)) },
  {
    name: "200-letter pattern, b then a, in a",
    make: (bytes) => ({ ...oneText("a".repeat(bytes)), patterns: [`b${"a".repeat(199)}`] }),
  },
  {
    name: "200 patterns of a profile, English",
    make: (bytes) => ({
      ...oneText("The quick brown fox jumps. ".repeat(bytes / 27)),
      patterns: Array.from({ length: 200 }, (_, index) => `the quick brown cat ${index}`),
    }),
  },
  {
    name: "one-letter strings in an array",
    make: (bytes) => ({
      sources: [{ sourceId: null, path: "jobInputs", value: Array.from({ length: bytes / 4 }, () => "a") }],
      patterns: [],
    }),
  },
];

function repeated(name: string, unit: string, second?: string): Case {
  const many = (part: string, bytes: number): string => part.repeat(Math.floor(bytes / Buffer.byteLength(part)));
  return {
    name,
    make: (bytes) =>
      oneText(second === undefined ? many(unit, bytes) : many(unit, bytes / 2) + many(second, bytes / 2)),
  };
}

/** The parts that `partsOf` gives, again and again up to the size. */
function filled(name: string, partsOf: (bytes: number) => readonly string[]): Case {
  return {
    name,
    make: (bytes) => {
      const all = partsOf(bytes).join("");
      return oneText(all.repeat(Math.max(Math.floor(bytes / Buffer.byteLength(all)), 1)).slice(0, bytes));
    },
  };
}

function oneText(text: string): GuardContent {
  return { sources: [{ sourceId: null, path: "jobInputs", value: text }], patterns: [] };
}

function everyCodePoint(bytes: number): string {
  const parts: string[] = [];
  for (let point = 0, size = 0; size < bytes; point = (point + 1) % 0x110000) {
    const char = String.fromCodePoint(point);
    parts.push(char);
    size += Buffer.byteLength(char);
  }
  return parts.join("");
}

/** Of this process's own processor time: what else the machine does meanwhile is not the guard's. */
function milliseconds(content: GuardContent): number {
  const startedAt = process.cpuUsage();
  const { error } = scanContent(content);
  if (error !== null) throw new Error(`not a clean text: ${error.trigger}`);
  const { user, system } = process.cpuUsage(startedAt);
  return (user + system) / 1000;
}

function median(content: GuardContent): number {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) times.push(milliseconds(content));
  return times.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? Number.NaN;
}

const only = process.argv[2] ?? "";
const head = ["text", ...sizes.map((size) => `${size / 1e6} MB, ms`), "ns per byte at 1 MB", "at 5 MB", "5 MB : 1 MB"];
console.log(`| ${head.join(" | ")} |\n|${" --- |".repeat(head.length)}`);
let worst = 0;
for (const { name, make } of cases.filter((each) => each.name.includes(only))) {
  const times: number[] = [];
  for (const size of sizes) times.push(median(make(size)));
  const [, atOne = 0, atFive = 0] = times;
  if (atOne > barAtOneMegabyte) process.exitCode = 1;
  worst = Math.max(worst, atOne);
  const perByte = [atOne, atFive / 5].map((time) => time.toFixed(0));
  console.log(
    `| ${[name, ...times.map((time) => time.toFixed(1)), ...perByte, (atFive / 5 / atOne).toFixed(2)].join(" | ")} |`,
  );
}
console.log(`\nWorst at 1 MB: ${worst.toFixed(0)} ms of processor time; bar: at most ${barAtOneMegabyte}.`);

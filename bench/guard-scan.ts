/**
 * How long does the PromptInjectionGuard take, and is its time linear in the text?
 * Run with `npx tsx bench/guard-scan.ts`. No text has an injection, so each is scanned completely and in all forms.
 */
import { type GuardContent, textsOf } from "../src/security/guards/guard.ts";
import { promptInjectionGuard } from "../src/security/guards/prompt-injection.ts";

/** A text is the unit repeated up to the size, or the result of `make`. */
interface Case {
  readonly name: string;
  readonly make: (bytes: number) => GuardContent;
}

const sizes = [100_000, 1_000_000, 5_000_000];
const rounds = 5;

const cases: readonly Case[] = [
  repeated("plain English", "The quick brown fox jumps over the lazy dog, and then some more of it. "),
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
      texts: textsOf(
        Array.from({ length: bytes / 4 }, () => "a"),
        "jobInputs",
      ),
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

function oneText(text: string): GuardContent {
  return { texts: [{ sourceId: null, path: "jobInputs", text }], patterns: [] };
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

async function milliseconds(content: GuardContent): Promise<number> {
  const startedAt = performance.now();
  const error = await promptInjectionGuard.check(content);
  if (error !== null) throw new Error(`not a clean text: ${error.trigger}`);
  return performance.now() - startedAt;
}

async function median(content: GuardContent): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) times.push(await milliseconds(content));
  return times.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? Number.NaN;
}

const only = process.argv[2] ?? "";
const head = ["text", ...sizes.map((size) => `${size / 1e6} MB, ms`), "ns per byte at 1 MB", "at 5 MB", "5 MB : 1 MB"];
console.log(`| ${head.join(" | ")} |\n|${" --- |".repeat(head.length)}`);
for (const { name, make } of cases.filter((each) => each.name.includes(only))) {
  const times: number[] = [];
  for (const size of sizes) times.push(await median(make(size)));
  const [, atOne = 0, atFive = 0] = times;
  const perByte = [atOne, atFive / 5].map((time) => time.toFixed(0));
  console.log(
    `| ${[name, ...times.map((time) => time.toFixed(1)), ...perByte, (atFive / 5 / atOne).toFixed(2)].join(" | ")} |`,
  );
}

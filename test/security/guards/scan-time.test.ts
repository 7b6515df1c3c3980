import { expect, test } from "vitest";
import { fold, foldPlain } from "../../../src/security/guards/fold.ts";
import { foldLookAlike } from "../../../src/security/guards/look-alike.ts";
import { scanContent } from "../../../src/security/guards/scan-content.ts";

// What was quadratic or came near it while the guard was written. bench/guard-scan.ts measures these and more.
const worstCases: readonly (readonly [string, string])[] = [
  ["marks of alternating classes", "\u0301\u0323"],
  ["kana voicing marks and accents", "\u0301\uff9e"],
  ["marks parted by zero-width spaces", "\u0301\u200b\u0323\u200b"],
  ["29 marks and a letter", `${"\u0301\u0323".repeat(14)}\u0301a`],
  ["U+FDFA, which NFKC makes eighteen of", "\ufdfa"],
  ["spaces", " "],
  ["spaces and zero-width spaces in turn", " \u200b"],
  [
    "near-misses with gaps",
    "i\u200bg\u200bn\u200bo\u200br\u200be\u200b \u200bp\u200br\u200be\u200bv\u200bi\u200bo\u200bu\u200b",
  ],
];

/** Of this process's own processor time: what else the machine does meanwhile is not the guard's. */
function milliseconds(text: string): number {
  const startedAt = process.cpuUsage();
  const { error } = scanContent({ sources: [{ sourceId: null, path: "p", value: text }], patterns: [] });
  expect(error).toBeNull();
  const { user, system } = process.cpuUsage(startedAt);
  return (user + system) / 1000;
}

/** The best of three attempts, or the first below what is enough. */
function best(text: string, enough = 0): number {
  let least = Number.POSITIVE_INFINITY;
  for (let attempt = 1; attempt <= 3 && least >= enough; attempt++) least = Math.min(least, milliseconds(text));
  return least;
}

/** Long enough for a machine that gives this process little of its time: what is measured is the process's own. */
const TIMEOUT_MS = 180_000;

// Linear is 10 times the time for 10 times the text, quadratic 100 times; 40 leaves room for a busy machine.
test.each(worstCases)(
  "ten times the text takes about ten times the time: %s",
  (_, unit) => {
    const short = unit.repeat(Math.ceil(30_000 / unit.length));
    milliseconds(short);
    const bound = Math.max(best(short), 2) * 40;
    expect(best(short.repeat(10), bound)).toBeLessThan(bound);
  },
  TIMEOUT_MS,
);

test("a fold of many marks keeps every letter", () => {
  const text = `a${"\u0301\u0323".repeat(1000)}b`;
  for (const each of [fold, foldPlain, foldLookAlike]) expect(each(text)).toMatch(/^[aáạ].*b$/su);
});

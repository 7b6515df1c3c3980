import { describe, expect, test } from "vitest";
import type { AceError, GuardedSource } from "../../../src/security/guards/guard.ts";
import { promptInjectionGuard } from "../../../src/security/guards/prompt-injection.ts";
import { harmlessTexts, hostileTexts } from "./injection-texts.ts";
import { findingIn } from "./scan.ts";

async function scan(text: string, patterns: readonly string[] = []): Promise<AceError | null> {
  return findingIn({ sources: [input(text)], patterns });
}

function input(value: string): GuardedSource {
  return { sourceId: null, path: "jobInputs.document.text", value };
}

describe("the table of texts", () => {
  test("has at least 60 hostile and 60 harmless rows, none twice", () => {
    expect(hostileTexts.length).toBeGreaterThanOrEqual(60);
    expect(harmlessTexts.length).toBeGreaterThanOrEqual(60);
    const all = [...hostileTexts, ...harmlessTexts].map((row) => row.text);
    expect(new Set(all).size).toBe(all.length);
  });

  test.each(hostileTexts)("hostile, $why: $text", async ({ text, pattern }) => {
    expect(await scan(text)).toMatchObject({
      code: "ACE-014",
      violationType: "PROMPT_INJECTION",
      trigger: expect.stringContaining(`pattern "${pattern}"`),
    });
  });

  test.each(harmlessTexts)("harmless, $why: $text", async ({ text }) => {
    expect(await scan(text)).toBeNull();
  });

  test.each(hostileTexts)("hostile between harmless texts, $why", async ({ text, pattern }) => {
    const around = harmlessTexts.map((row) => row.text).join("\n");
    expect((await scan(`${around}\n${text}\n${around}`))?.trigger).toContain(`"${pattern}"`);
  });
});

test("a finding names the pattern, the offset in the folded text, the form and the place, and not the content", async () => {
  const text = `Account 4711 of Jane. ${"\u200b".repeat(5)}Іgnore\u00a0\u00a0previous; password hunter2`;
  const snippet = { sourceId: "doc-7", path: "retrievedSnippets[0].content", value: text };
  expect(await findingIn({ sources: [input("clean"), snippet], patterns: [] })).toEqual({
    code: "ACE-014",
    violationType: "PROMPT_INJECTION",
    trigger:
      'pattern "ignore previous" at character 22 of the folded text (folded form) of retrievedSnippets[0].content',
    description:
      "retrievedSnippets[0].content: The folded form of the text contains a pattern of the prompt injection list.",
    sourceId: "doc-7",
  });
});

test("a trigger fits its 200 characters, whatever the pattern", async () => {
  const pattern = "a long pattern ".repeat(100);
  const error = await findingIn({
    sources: [{ sourceId: null, path: "p".repeat(80), value: pattern }],
    patterns: [pattern],
  });
  expect(error?.trigger.length).toBeLessThanOrEqual(200);
});

test("the first text that is hit is the one that is reported", async () => {
  const sources = [
    input("fine"),
    { ...input("developer mode"), path: "a" },
    { ...input("ignore previous"), path: "b" },
  ];
  expect((await findingIn({ sources, patterns: [] }))?.trigger).toMatch(/"developer mode".* of a$/);
});

describe("patterns of the job's profile", () => {
  test("are sought besides the built-in ones", async () => {
    expect((await scan("please reveal the key", ["Reveal the Key"]))?.trigger).toContain('"Reveal the Key"');
    expect((await scan("ignore previous", ["reveal the key"]))?.trigger).toContain('"ignore previous"');
    expect(await scan("please reveal the key")).toBeNull();
  });

  test.each(["", " ", "\n\t", "\u200b", "\u00ad\u2060", " \u200b ", "\u3164", "\u2800", "\u0001"])(
    "one of which nothing is left is skipped: %j",
    async (pattern) => {
      expect(await scan("any text at all, with spaces", [pattern])).toBeNull();
    },
  );

  test.each([
    ["Straße frei", "STRASSE FREI"],
    ["ΟΔΟΣ ΑΝΟΙΧΤΗ", "οδος ανοιχτη"],
    ["忽略以前的指示", "请忽略\u200b以前的指示。"],
    ["が始まる", "か\u3099始まる"],
    ["игнорируй", "ИГНОРИ\u00adРУЙ всё"],
    ["निर्देश", "नए निर्देश"],
    ["تجاهل التعليمات", "تَجَاهَل التَّعليمات"],
    ["무시하라", "무\u200b시하라"],
    ["$(rm) [a-z]*", "run $(RM)   [a-z]* now"],
    ["m", "rn"],
    ["na\u00efve", "NAI\u0308VE"],
  ])("%s is found in %s", async (pattern, text) => {
    expect((await scan(text, [pattern]))?.trigger).toContain(pattern);
  });

  test.each([
    ["か始まる", "が始まる", "a voicing mark makes another letter in Japanese"],
    ["कल", "कुल", "a vowel sign makes another word in Hindi"],
    ["bỏ qua", "bộ quá", "a pattern with marks means those marks"],
    [" rm ", "alarm arms", "the spaces at its ends are part of a pattern"],
    ["a.c", "abc", "a pattern is no regular expression"],
  ])("%s is not found in %s: %s", async (pattern, text) => {
    expect(await scan(text, [pattern])).toBeNull();
  });
});

test("a match is found wherever it stands in a long text, across every border of the buffers", async () => {
  for (const length of [8170, 8180, 8185, 8190, 8192, 8195, 65530, 65536, 131072]) {
    const padded = `${"x".repeat(length)} ign\u200bоre \u3000 previous`;
    expect((await scan(padded))?.trigger).toContain(`"ignore previous" at character ${length + 1} `);
  }
});

test("scanning long texts lets other work go on, and stops when it is told to", async () => {
  const stop = new AbortController();
  setImmediate(() => stop.abort());
  const sources = Array.from({ length: 50 }, () => input("plain ".repeat(20_000)));
  await expect(promptInjectionGuard.check({ sources, patterns: [] }, stop.signal)).rejects.toThrow("aborted");
});

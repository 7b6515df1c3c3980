import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { caseFold, fold, foldPlain } from "../../../src/security/guards/fold.ts";
import { foldLookAlike, hiddenText } from "../../../src/security/guards/look-alike.ts";
import { normalize } from "../../../src/security/guards/normalize.ts";
import { harmlessTexts, hostileTexts } from "./injection-texts.ts";

const allTexts = [...hostileTexts, ...harmlessTexts].map((row) => row.text);

function everyCharacter(): string[] {
  const points = Array.from({ length: 0x20000 }, (_, point) => point).filter(
    (point) => point < 0xd800 || point > 0xdfff,
  );
  return points.map((point) => String.fromCodePoint(point));
}

describe("fold, as section 7 says", () => {
  test.each([
    ["Ignore Previous", "ignore previous"],
    ["ｆｕｌｌ－width", "full-width"],
    ["a\u200b\u00ad\u{e0041}\u202eb", "ab"],
    ["a \u00a0\u2003\n\u0085\u2028b", "a b"],
    [" a ", " a "],
    ["I1l|", "illl"],
    ["m", "rn"],
    ["0O", "oo"],
    ["Straße", "strasse"],
    ["ΣΙΣΥΦΟΣ ς", "oiouɸoo o"],
    ["\ud800x\udc00", "\ud800x\udc00"],
    ["", ""],
  ])("%j becomes %j", (text, expected) => {
    expect(fold(text)).toBe(expected);
  });

  test("is the same however a letter was composed", () => {
    for (const text of ["é", "ệ", "が", "각", "ﬁ", "Å", "क़"]) {
      expect(fold(text.normalize("NFD"))).toBe(fold(text));
      expect(fold(Array.from(text.normalize("NFD")).join("\u200b"))).toBe(fold(text));
    }
  });

  test("folded twice is folded once, for ASCII; the percent sign is the known exception", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii" }), (text) => {
        const once = fold(text.replaceAll("%", ""));
        expect(fold(once)).toBe(once);
      }),
    );
    expect(fold("%")).toBe("º/₀");
  });

  test("sees through whatever invisible characters are strewn in, and whatever blanks are made of", () => {
    const invisible = fc.string({
      unit: fc.constantFrom("\u200b", "\u00ad", "\u202e", "\u{e0041}", "\ufe0f"),
      maxLength: 3,
    });
    const blank = fc.string({
      unit: fc.constantFrom(" ", "\u00a0", "\n", "\u2028", "\u3000"),
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(fc.array(invisible, { minLength: 15, maxLength: 15 }), blank, (strewn, space) => {
        const text = Array.from("ignore previous", (char, index) => (char === " " ? space : char) + strewn[index]).join(
          "",
        );
        expect(fold(text)).toBe("ignore previous");
      }),
    );
  });

  test("of a part is found in the fold of the whole: no step looks at neighbours but those that compose", () => {
    for (const part of hostileTexts.map((row) => row.text)) expect(fold(`ΑΣ ${part} Σ`)).toContain(fold(part));
  });
});

test("foldPlain is NFC and case folding, nothing else", () => {
  expect(foldPlain("E\u0301 m 0 I\u200b ﬁ Ⅳ")).toBe("é m 0 i\u200b fi ⅳ");
});

test("caseFold makes one of letters that lower case keeps apart", () => {
  for (const [one, other] of [
    ["ß", "SS"],
    ["ẞ", "ss"],
    ["ς", "Σ"],
    ["ſ", "S"],
    ["ı", "I"],
    ["ŉ", "ʼN"],
  ] as const) {
    expect(caseFold(one)).toBe(caseFold(other));
  }
});

describe("foldLookAlike", () => {
  test("changes nothing more when done twice, for every character of the first two planes", () => {
    const changed = everyCharacter().filter((char) => foldLookAlike(foldLookAlike(char)) !== foldLookAlike(char));
    expect(changed).toEqual([]);
  });

  test("makes one of what looks alike", () => {
    for (const group of ["IiıİІіΙιlL1|ⅼ", "MmМмΜ𝐦🅼ᴍ", "NnΝ𝓃ɴ", "EeЕеΕεéё", "0OoОоΟοø"]) {
      const [first = "", ...others] = Array.from(group);
      for (const other of others) expect(foldLookAlike(other)).toBe(foldLookAlike(first));
    }
  });

  test("leaves a gap where something invisible stood, and a space where a space stood too", () => {
    expect(foldLookAlike("a\u200b\u00adb \u200bc\u3164 d\u0000")).toBe("a\u0001b c d\u0001");
  });
});

test.each([8189, 8190, 8191, 8192, 8193, 16_384])("nothing is lost where a buffer of %i ends", (length) => {
  for (const text of [`${"x".repeat(length)} `, `${"x".repeat(length)} y`, `${"x y".repeat(length)} `]) {
    expect(fold(text)).toBe(text);
    expect(foldLookAlike(text)).toBe(text);
  }
});

test("hiddenText reads tag characters as ASCII", () => {
  expect(hiddenText("a\u{e0068}b\u{e0069}\u{e007f}\u{e0001}")).toBe("hi");
  expect(hiddenText("\udb40 alone")).toBe("");
  expect(hiddenText("plain")).toBe("");
});

describe("normalize", () => {
  test.each(["NFC", "NFKC"] as const)("is the standard's %s for every text without absurd runs of marks", (form) => {
    for (const text of allTexts.filter((each) => !/\p{M}{30}/u.test(each))) {
      expect(normalize(text, form)).toBe(text.normalize(form));
    }
  });

  test("keeps every mark of a longer run", () => {
    const run = `e${"\u0301\u0323".repeat(100)}f`;
    const sorted = (text: string): string => Array.from(text.normalize("NFD")).sort().join("");
    expect(sorted(normalize(run, "NFC"))).toBe(sorted(run));
  });
});

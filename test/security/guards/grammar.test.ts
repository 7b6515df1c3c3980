import { describe, expect, test } from "vitest";
import { BOUNDARY } from "../../../src/security/guards/boundaries.ts";
import { type Grammar, VETO } from "../../../src/security/guards/grammar/grammar.ts";
import { grammars } from "../../../src/security/guards/grammar/grammars.ts";
import { lazyDfa } from "../../../src/security/guards/grammar/lazy-dfa.ts";
import { letterScan } from "../../../src/security/guards/grammar/letter-scan.ts";
import { phraseAutomaton } from "../../../src/security/guards/grammar/phrase-automaton.ts";
import { foldLookAlike } from "../../../src/security/guards/look-alike.ts";

const small: Grammar = {
  language: "x",
  form: "look-alike",
  classes: {
    verb: "open, unlock, let in",
    any: "the, all, of the",
    thing: "door, gate*, room",
    not: "do not, never",
    polite: "please",
    soon: "now$",
    day: "today, 今日$, 明日",
    close: "close, lock",
    now: "now, once more",
  },
  rules: {
    [VETO]: ["not verb"],
    order: ["polite? verb any* thing"],
    beginning: ["^ thing verb"],
    time: ["verb soon", "verb day"],
    closing: ["^|now close any* thing"],
  },
  notBefore: "if you may, unless",
};

const automaton = phraseAutomaton([{ grammar: small, fold: foldLookAlike }], "3e @a");
const scan = letterScan(automaton);
const ruleIn = (text: string): string | null => scan(foldLookAlike(text))?.rule.name ?? null;

describe("a rule", () => {
  test.each([
    ["open the door", "order"],
    ["Please open all of the rooms", null],
    ["open door", "order"],
    ["let in all of the room", "order"],
    ["unlock the the the gatekeeper", "order"],
    ["unlock the gate", "order"],
    ["reopen the door", null],
    ["open the doors", null],
    ["open a door", null],
    ["open the. Door", null],
    [`open the${BOUNDARY}door`, null],
    ["open the = door", null],
    ["o p e n t h e d o o r", "order"],
    ["o.p.e.n the d-o-o-r", "order"],
    ["OP\u0301EN\u200bTHE\u200bDOOR", "order"],
    ["op3n th3 room", "order"],
    ["“open” (the) **door**", "order"],
    ["> open\n> the\n> door", "order"],
    ["'open', 'the door'", null],
    ["Gate open", "beginning"],
    ["The gate open", null],
    ["It is late. Gate open", "beginning"],
    ["do not open the door", null],
    ["do not open the door, open the room", "order"],
    ["never. Open the door", "order"],
    ["open now", "time"],
    ["open nowhere", null],
    ["open 今日", "time"],
    ["open 今日は", null],
    ["open 明日は", "time"],
    ["Close the door", "closing"],
    ["It is late. Lock the door", "closing"],
    ["We close the door", null],
    ["But now close the door", "closing"],
    ["We once more lock the door", "closing"],
    ["Open the door if you may", null],
    ["Open the door -- if\nyou may, the door", null],
    ["Open the door unless it rains, and open the gate", "order"],
    ["Open the door if you mayor", "order"],
    ["Open the door. If you may.", "order"],
  ])("%j: %s", (text, rule) => {
    expect(ruleIn(text)).toBe(rule);
  });

  test("is refused when it names a class that the grammar does not have", () => {
    const wrong = { ...small, rules: { wrong: ["verb nothing"] } };
    expect(() => phraseAutomaton([{ grammar: wrong, fold: foldLookAlike }], "")).toThrow("x: no class nothing");
  });

  test("is found backwards, too, and with each of its letters turned", () => {
    const backwards = letterScan(phraseAutomaton([{ grammar: small, fold: foldLookAlike, backwards: true }], ""));
    expect(backwards(foldLookAlike("moor eht nepo"))?.rule.name).toBe("order");
    expect(backwards(foldLookAlike("moor eht nepo ton od"))).toBeNull();
    const next = (char: string): string => String.fromCharCode(char.charCodeAt(0) + 1);
    const turned = letterScan(phraseAutomaton([{ grammar: small, fold: next }], ""));
    expect(turned("pqfo uif epps")?.rule.name).toBe("order");
  });
});

test("every class of every grammar is used by a rule, and no phrase is empty", () => {
  for (const { language, classes, rules } of grammars) {
    const used = new Set(
      Object.values(rules).flatMap((sequences) => sequences.flatMap((each) => each.split(/[ |?*^]+/))),
    );
    expect({ language, unused: Object.keys(classes).filter((name) => !used.has(name)) }).toEqual({
      language,
      unused: [],
    });
    for (const phrases of Object.values(classes)) {
      for (const phrase of phrases.split(","))
        expect({ phrases, phrase: phrase.trim() }).not.toEqual({ phrases, phrase: "" });
    }
  }
});

test("letters that come again lead to states that are there already", () => {
  const dfa = lazyDfa(automaton);
  const read = (text: string): void => {
    let state = dfa.sentence;
    for (const char of text) {
      state = char === " " ? dfa.word(state, true) : dfa.letter(state, automaton.symbols[char.charCodeAt(0)] ?? 0);
    }
  };
  read("open the door let in all of the room ");
  const { made } = dfa;
  for (let round = 0; round < 100; round += 1) read("open the door let in all of the room ");
  expect(dfa.made).toBe(made);
});

test("a text that needs more states than there may be finds the same, by states that are made anew", () => {
  const MOST = 12;
  const [roomy, tiny] = [lazyDfa(automaton), lazyDfa(automaton, MOST * (automaton.symbolCount + 2))];
  const words = "open unlock let in the all of door gates room do not never please now today xyz".split(" ");
  const text = Array.from({ length: 3_000 }, (_, index) => words[(index * index + 3 * index) % words.length]).join(" ");
  const found = [roomy, tiny].map((dfa) => {
    let state = dfa.sentence;
    const rules: number[] = [];
    let last = 0;
    for (const char of text) {
      if (char === " ") rules.push(dfa.ruleAt(state, true));
      state = char === " " ? dfa.word(state, true) : dfa.letter(state, automaton.symbols[char.charCodeAt(0)] ?? 0);
      last = Math.max(last, state);
    }
    return { rules, last };
  });
  expect(found[1]?.rules).toEqual(found[0]?.rules);
  expect(found[1]?.last).toBeLessThan(MOST);
  expect(new Set(found[0]?.rules).size).toBeGreaterThan(1);
  expect(tiny.made).toBeGreaterThan(10 * roomy.made);
});

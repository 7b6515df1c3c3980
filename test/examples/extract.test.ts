import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { DOCUMENTS, DOCUMENTS_FOLDER } from "../../examples/demo/documents.ts";
import { extract } from "../../examples/worker/extract.ts";
import { sentencesOf } from "../../examples/worker/sentences.ts";

function textsOf(text: string): readonly string[] {
  return sentencesOf(text).map((sentence) => sentence.text);
}

test.each([
  [
    "English, over wrapped lines",
    "The queue moves\nto production. It is\nfast.",
    ["The queue moves to production.", "It is fast."],
  ],
  ["English, with an abbreviation", "I met Mr. Holmes. He left.", ["I met Mr. Holmes.", "He left."]],
  ["German, with a date", "Es war der 9. Oktober. Es regnete.", ["Es war der 9. Oktober.", "Es regnete."]],
  [
    "Japanese, over wrapped lines",
    "図書館は\n休館します。工事は八月\nまでです。",
    ["図書館は休館します。", "工事は八月までです。"],
  ],
  ["Arabic", "وصلت المياه. هل هي نظيفة؟ نعم.", ["وصلت المياه.", "هل هي نظيفة؟", "نعم."]],
  ["Hindi", "पानी आया। क्या यह साफ़ है?", ["पानी आया।", "क्या यह साफ़ है?"]],
  ["a list", "Actions:\n- Jonas writes.\n- Priya reads.", ["Actions:", "Jonas writes.", "Priya reads."]],
  ["headings", "# Minutes\n\n## Queue\nIt moves.", ["Minutes", "Queue It moves."]],
  ["Windows lines", "One.\r\n\r\nTwo.", ["One.", "Two."]],
  ["nothing", " \n\n ", []],
])("the sentences of %s", (_what, text, sentences) => {
  expect(textsOf(text)).toEqual(sentences);
});

test.each(DOCUMENTS.map(({ name }) => name))("a summary of %s is sentences of it, in their order", (name) => {
  const text = readFileSync(join(DOCUMENTS_FOLDER, name), "utf8");
  const all = textsOf(text);
  const places = extract(text, 3).map((sentence) => all.indexOf(sentence));
  expect(places).toHaveLength(3);
  expect(places).not.toContain(-1);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
});

const cases = [
  {
    language: "English",
    gist: "The council will rebuild the old harbour wall because the storm has broken the wall.",
    text: (gist: string) =>
      `Good evening. ${gist} There was tea. The harbour wall keeps the storm out. Somebody coughed.`,
  },
  {
    language: "Japanese",
    gist: "図書館の改修工事のため、図書館は来年の一月から八月まで休館します。",
    text: (gist: string) => `こんにちは。${gist}お元気ですか。改修工事の間、図書館の本は借りられません。ではまた。`,
  },
  {
    language: "Arabic",
    gist: "تفقد شبكة المياه نصف المياه بسبب الأنابيب القديمة في البلدة.",
    text: (gist: string) => `مساء الخير. ${gist} شكرًا. ستستبدل البلدة الأنابيب القديمة في شبكة المياه. إلى اللقاء.`,
  },
];

test.each(cases)("the one sentence that says most is chosen in $language", ({ gist, text }) => {
  expect(extract(text(gist), 1)).toEqual([gist]);
});

test("what has been said is not said again", () => {
  const said = "The bridge over the river is closed to lorries until the summer.";
  const again = "Until the summer the bridge over the river is closed to lorries.";
  const other = "The ferry takes lorries across at no charge every half hour.";
  expect(extract(`${said} ${again} ${other}`, 2)).toEqual([said, other]);
});

test("a text without sentences is summarised by its lines, and an empty one by none", () => {
  expect(extract("Bread\n\nButter\n\nCheese", 2)).toHaveLength(2);
  expect(extract("", 3)).toEqual([]);
});

test("a long text takes a moment, not a minute", () => {
  const long = readFileSync(join(DOCUMENTS_FOLDER, "us-constitution.txt"), "utf8").repeat(10);
  const began = performance.now();
  extract(long);
  expect(performance.now() - began).toBeLessThan(10_000);
});

/**
 * How many known attacks does the PromptInjectionGuard find, and in how many harmless texts does it find one?
 * Run with `npx tsx bench/guard-quality.ts`. Words after it choose the rows whose names contain one of them, and print each text
 * that was judged wrongly. The sets are not part of this project: see bench/README.md.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { z } from "zod";
import { scanContent } from "../src/security/guards/scan-content.ts";
import { disguises, overrides } from "../test/security/guards/disguised-overrides.ts";

interface Sample {
  readonly text: string;
  readonly row: string;
}

/** At least or at most this share of a row's texts is to be found. */
interface Bar {
  readonly rows: RegExp;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const folder = new URL("../../shared/data/guard/", import.meta.url);
const line = z.object({ text: z.string(), source: z.string(), variant: z.string() });
const bars: readonly Bar[] = [
  { rows: /^attack: purplellama, ignore_previous_instructions$/, atLeast: 0.9 },
  { rows: /^attack: purplellama, all$/, atLeast: 0.2 },
  { rows: /^attack: purplellama_multilingual, ignore_previous_instructions$/, atLeast: 0.6 },
  { rows: /^attack: own disguises, all$/, atLeast: 0.9 },
  { rows: /^benign: notinject, all$/, atMost: 0 },
  { rows: /^benign: bipia, all$/, atMost: 0 },
  { rows: /^benign: (?:wildguard|injecguard_valid), all$/, atMost: 0.002 },
  { rows: /^benign: npm documentation, all$/, atMost: 0.0002 },
];

function samplesOf(kind: "attack" | "benign", file: string): Sample[] {
  const path = new URL(file, folder);
  if (!existsSync(path)) {
    console.log(`${path.pathname} is not there: its rows are left out, and their bars are not judged.`);
    return [];
  }
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((each) => each !== "")
    .map((each) => line.parse(JSON.parse(each)))
    .map(({ text, source, variant }) => ({ text, row: `${kind}: ${source}, ${variant === "" ? "texts" : variant}` }));
}

const disguised = disguises.flatMap(({ name, disguise }) =>
  overrides.map((text): Sample => ({ text: disguise(text), row: `attack: own disguises, ${name}` })),
);
const modules = new URL("../node_modules/", import.meta.url);
const documentation = readdirSync(modules, { recursive: true, encoding: "utf8" })
  .filter((file) => /\.(?:md|markdown)$/i.test(file))
  .map((file) => ({ text: readFileSync(new URL(file, modules), "utf8"), row: "benign: npm documentation, files" }));

const only = process.argv.slice(2);
const samples = [
  ...samplesOf("attack", "attacks.jsonl"),
  ...disguised,
  ...samplesOf("benign", "benign.jsonl"),
  ...documentation,
].filter(({ row }) => only.length === 0 || only.some((word) => row.includes(word)));

const counts = new Map<string, { texts: number; found: number }>();
function count(row: string, found: boolean): void {
  const counted = counts.get(row) ?? { texts: 0, found: 0 };
  counts.set(row, { texts: counted.texts + 1, found: counted.found + (found ? 1 : 0) });
}

for (const { text, row } of samples) {
  const { error } = scanContent({ sources: [{ sourceId: null, path: "text", value: text }], patterns: [] });
  count(row, error !== null);
  count(`${row.slice(0, row.indexOf(","))}, all`, error !== null);
  if (only.length > 0 && row.startsWith("benign") === (error !== null)) {
    console.log(`- ${row}: ${JSON.stringify(text.slice(0, 300))}${error === null ? "" : ` <- ${error.trigger}`}`);
  }
}

console.log("| set, variant | texts | found | share | bar |\n| --- | --- | --- | --- | --- |");
for (const [row, { texts, found }] of counts) {
  const share = found / texts;
  const bar = bars.find(({ rows }) => rows.test(row));
  const isMissed = bar !== undefined && (share < (bar.atLeast ?? 0) || share > (bar.atMost ?? 1));
  if (isMissed) process.exitCode = 1;
  const asked =
    bar === undefined
      ? ""
      : bar.atLeast === undefined
        ? `at most ${percent(bar.atMost ?? 1)}`
        : `at least ${percent(bar.atLeast)}`;
  console.log(`| ${row} | ${texts} | ${found} | ${percent(share)} | ${asked}${isMissed ? ", **missed**" : ""} |`);
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))} %`;
}

import { readdirSync, readFileSync } from "node:fs";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's documents, as tests read them: their blocks, their tables, their headings. */

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The text of a file, by its path from the project's root. */
export function readText(path: string): string {
  return readFileSync(`${ROOT}${path}`, "utf8");
}

/** The documents that people read: paths from the project's root. */
export const DOCUMENTS: readonly string[] = ["README.md", "bench/README.md", ...filesBelow("docs", ".md")];

/** Files below a folder, by the ends of their names, without what is generated: paths from the project's root. */
export function filesBelow(folder: string, ...ends: readonly string[]): readonly string[] {
  return readdirSync(`${ROOT}${folder}`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ends.some((end) => entry.name.endsWith(end)))
    .map(({ parentPath, name }) => relative(ROOT, `${parentPath}/${name}`).split(sep).join("/"))
    .filter((path) => !path.includes("/generated/"))
    .toSorted();
}

/** A fenced block: what follows its opening backticks, and what it holds. */
export interface Block {
  readonly info: string;
  readonly text: string;
}

export function blocksOf(markdown: string): readonly Block[] {
  return [...markdown.matchAll(/^```(.*)\n([^]*?)^```$/gm)].map(([, info = "", text = ""]) => ({ info, text }));
}

/** A document without its fenced blocks. */
export function withoutBlocks(markdown: string): string {
  return markdown.replace(/^```.*\n[^]*?^```$/gm, "");
}

/** What stands under a heading, up to the next one of the same rank or a higher one. */
export function sectionOf(markdown: string, heading: string): string {
  const start = `\n${markdown}`.indexOf(`\n${heading}\n`);
  if (start === -1) throw new Error(`There is no heading "${heading}".`);
  const rest = markdown.slice(start + heading.length);
  const rank = heading.indexOf(" ");
  const end = rest.search(new RegExp(`^#{1,${rank}} `, "m"));
  return end === -1 ? rest : rest.slice(0, end);
}

/** The rows of the tables in a text, headings and rules left out; each row by its cells. */
export function rowsOf(markdown: string): readonly (readonly string[])[] {
  const lines = markdown.split("\n");
  return lines
    .filter((line, at) => line.startsWith("|") && !isRule(line) && !isRule(lines[at + 1] ?? ""))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

function isRule(line: string): boolean {
  return /^\|[ -|]+\|$/.test(line) && line.includes("---");
}

/** What stands in backticks. */
export function codesIn(text: string): readonly string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code);
}

/** Anchors of a document's headings, as GitHub makes them. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of withoutBlocks(markdown).matchAll(/^#{1,6} (.+)$/gm)) {
    const anchor = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
      .replaceAll(" ", "-");
    let free = anchor;
    for (let again = 1; anchors.has(free); again++) free = `${anchor}-${again}`;
    anchors.add(free);
  }
  return anchors;
}

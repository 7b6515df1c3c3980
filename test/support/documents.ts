import { readdirSync, readFileSync } from "node:fs";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** Reads the project's documents for tests: their code blocks, tables and headings. */

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The text of a file, by its path from the project's root. */
export function readText(path: string): string {
  return readFileSync(`${ROOT}${path}`, "utf8");
}

/** Made of the schema, whose descriptions have tests of their own. */
const API_REFERENCE = "docs/api-reference.md";

/** The documents that users read, as paths from the project's root. */
export const DOCUMENTS: readonly string[] = [
  "README.md",
  "SECURITY.md",
  "bench/README.md",
  ...filesBelow("docs", ".md").filter((path) => path !== API_REFERENCE),
];

/**
 * The files below a folder whose names have one of these ends, without generated ones; paths from the project's root.
 */
export function filesBelow(folder: string, ...ends: readonly string[]): readonly string[] {
  return readdirSync(`${ROOT}${folder}`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ends.some((end) => entry.name.endsWith(end)))
    .map(({ parentPath, name }) => relative(ROOT, `${parentPath}/${name}`).split(sep).join("/"))
    .filter((path) => !path.includes("/generated/"))
    .toSorted();
}

/** A fenced code block: the text after its opening backticks, and its content. */
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

/**
 * The text under a heading, up to the next heading of the same level or a higher one.
 * @throws Error where the document has no such heading.
 */
export function sectionOf(markdown: string, heading: string): string {
  const start = `\n${markdown}`.indexOf(`\n${heading}\n`);
  if (start === -1) throw new Error(`There is no heading "${heading}".`);
  const rest = markdown.slice(start + heading.length);
  const level = heading.indexOf(" ");
  const end = rest.search(new RegExp(`^#{1,${level}} `, "m"));
  return end === -1 ? rest : rest.slice(0, end);
}

/** The rows of all tables in a text, without header rows and separator rows; each row as its cells. */
export function rowsOf(markdown: string): readonly (readonly string[])[] {
  const lines = markdown.split("\n");
  return lines
    .filter((line, index) => line.startsWith("|") && !isSeparator(line) && !isSeparator(lines[index + 1] ?? ""))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

function isSeparator(line: string): boolean {
  return /^\|[ -|]+\|$/.test(line) && line.includes("---");
}

/** The texts in backticks. */
export function codesIn(text: string): readonly string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code);
}

/** The anchors of a document's headings, as GitHub generates them. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of withoutBlocks(markdown).matchAll(/^#{1,6} (.+)$/gm)) {
    const anchor = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
      .replaceAll(" ", "-");
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count++) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

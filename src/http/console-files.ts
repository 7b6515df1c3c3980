import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { extname, join, relative, sep } from "node:path";
import Negotiator from "negotiator";

/**
 * The files of a folder, by their paths, read once. A new version of the package may replace the folder while the server runs: the page
 * then stays complete, and of the server's own version, until the server is restarted.
 */
export type Files = ReadonlyMap<string, Buffer>;

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

/** The compressed forms that the build has put beside a file, smallest first. */
const ENCODINGS = [
  { name: "br", suffix: ".br" },
  { name: "gzip", suffix: ".gz" },
] as const;

/** @returns no files where there is no folder: it is made by the build. */
export function readFiles(folder: string): Files {
  if (!existsSync(folder)) return new Map();
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = entries.map(({ parentPath, name }) => join(parentPath, name));
  return new Map(paths.map((path) => [nameOf(folder, path), readFileSync(path)]));
}

function nameOf(folder: string, path: string): string {
  return `/${relative(folder, path).replaceAll(sep, "/")}`;
}

/** Sends a file, in the smallest form that the browser takes. @returns false, and sends nothing, where there is none. */
export function sendFile(
  files: Files,
  path: string,
  { headers }: IncomingMessage,
  response: ServerResponse,
  cacheControl: string,
): boolean {
  const plain = files.get(path);
  const type = TYPES[extname(path)];
  if (!plain || type === undefined) return false;
  const accepted = new Negotiator({ headers }).encodings(ENCODINGS.map(({ name }) => name));
  const encoding = ENCODINGS.find(({ name, suffix }) => accepted.includes(name) && files.has(path + suffix));
  const body = (encoding && files.get(path + encoding.suffix)) ?? plain;
  response.writeHead(200, {
    "content-type": type,
    "content-length": body.length,
    ...(encoding ? { "content-encoding": encoding.name } : {}),
    "cache-control": cacheControl,
    vary: "Accept-Encoding",
  });
  response.end(body);
  return true;
}

import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { fileURLToPath } from "node:url";
import { readFiles, sendFile } from "./console-files.ts";
import { PATHS } from "./plugins/use-paths.ts";

/** The console: the page at `/`, and the files that it loads. */

/** Where `npm run build` puts it; as far from the sources as from what is compiled of them. */
const FOLDER = fileURLToPath(new URL("../../console/dist/", import.meta.url));

/** The first part of the paths of its views; the page itself knows which view a path is. test/console holds the two together. */
export const VIEWS: ReadonlySet<string> = new Set([
  "",
  "jobs",
  "inbox",
  "workers",
  "usage",
  "quotas",
  "keys",
  "system",
  "bulk",
  "submit",
]);

/** Whose names say what is in them, so that a browser may keep them for ever. */
const ASSETS = "/assets/";
/** Read again at each look, by which a page finds out that its server has been upgraded. */
const FRESH: ReadonlySet<string> = new Set(["/build.json", "/favicon.svg"]);

const FOR_EVER = "public, max-age=31536000, immutable";
const FILES = readFiles(FOLDER);

/** What the built page has where the server puts in what belongs to a request. */
const BASE = "./__base__/";
const NONCE = "__nonce__";

/** The paths of the API, which get no page. */
const OF_API: ReadonlySet<string> = new Set(Object.values(PATHS));

/**
 * Whether a request is for the console: it asks for one of its files, or is a browser's for a page that is no path of the API. The answer is
 * the same for everybody, and shows nothing of the database.
 */
export function isOfConsole({ method, url = "", headers }: IncomingMessage): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  const [path = ""] = url.split("?", 1);
  if (path.startsWith(ASSETS) || FRESH.has(path)) return true;
  return !OF_API.has(path) && headers.accept?.includes("text/html") === true;
}

/** Serves the page, whatever its view, or a file of it. */
export function serveConsole(request: IncomingMessage, response: ServerResponse): void {
  const [path = ""] = (request.url ?? "").split("?", 1);
  response.setHeader("x-content-type-options", "nosniff");
  const isAsset = path.startsWith(ASSETS);
  const isSent =
    isAsset || FRESH.has(path)
      ? sendFile(FILES, path, request, response, isAsset ? FOR_EVER : "no-cache")
      : sendPage(path, response);
  if (!isSent) refuse(response);
}

function sendPage(path: string, response: ServerResponse): boolean {
  const page = FILES.get("/index.html")?.toString();
  if (page === undefined) return false;
  const nonce = randomBytes(16).toString("base64");
  const text = page.replaceAll(BASE, baseOf(path)).replaceAll(NONCE, nonce);
  // The page itself says that there is no such view, with a link to one that there is.
  response.writeHead(VIEWS.has(path.split("/")[1] ?? "") ? 200 : 404, {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policyWith(nonce),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    vary: "Accept",
  });
  response.end(text);
  return true;
}

/**
 * @returns the way from a path back to the page's own, which is where its files, the API and its other views are. Relative, so that it
 *   is right behind a proxy that serves all of it below a path of its own, which the server need not know.
 */
function baseOf(path: string): string {
  return "../".repeat(path.split("/").length - 2) || "./";
}

/** The page loads, and sends to, nothing but what it came from; styles that React Aria makes while it runs have the nonce. */
function policyWith(nonce: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; ");
}

function refuse(response: ServerResponse): void {
  const message = "The console has no such file. Where it has not been built yet: npm run build.";
  response.writeHead(404, { "content-type": "application/json" });
  response.end(JSON.stringify({ errors: [{ message, extensions: { code: "NOT_FOUND" } }] }));
}

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { type Files, readFiles, sendFile } from "../../src/http/console-files.ts";

/** The console's files, while what they were read from is replaced by another version of the package. */

const SCRIPT = "export const version = 1;\n".repeat(20);
const address = z.object({ port: z.number() });

let server: Server;
let url: string;
let files: Files;
beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "console-"));
  await mkdir(join(folder, "assets"));
  await writeFile(join(folder, "assets", "page-1.js"), SCRIPT);
  await writeFile(join(folder, "assets", "page-1.js.br"), brotliCompressSync(SCRIPT));
  await writeFile(join(folder, "assets", "page-1.js.gz"), gzipSync(SCRIPT));
  await writeFile(join(folder, "build.json"), '{ "build": "1" }');
  files = readFiles(folder);
  await rm(folder, { recursive: true });
  server = createServer((request, response) => {
    if (!sendFile(files, request.url ?? "", request, response, "no-cache")) response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${address.parse(server.address()).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const get = (path: string, encodings: string, method = "GET") =>
  fetch(`${url}${path}`, { method, headers: { "accept-encoding": encodings } });

test.each([
  ["gzip, deflate, br, zstd", "br"],
  ["br;q=0.9, gzip", "br"],
  ["gzip", "gzip"],
  ["identity", null],
  ["BR", "br"],
  ["*", "br"],
  ["br;q=0, gzip", "gzip"],
  ["br;q=0, gzip;q=0", null],
])("a browser that takes %s gets the smallest form of it, though the file is gone", async (encodings, sent) => {
  const response = await get("/assets/page-1.js", encodings);
  expect(response.status).toBe(200);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "content-type": "text/javascript",
    "cache-control": "no-cache",
    vary: "Accept-Encoding",
  });
  expect(response.headers.get("content-encoding")).toBe(sent);
  expect(await response.text()).toBe(SCRIPT);
});

test.each(["identity", "br"])("HEAD tells the same without it, of %s", async (encoding) => {
  const told = async (method: string) => {
    const { headers } = await get("/assets/page-1.js", encoding, method);
    return [headers.get("content-length"), headers.get("content-encoding")];
  };
  expect(await told("HEAD")).toEqual(await told("GET"));
});

test.each(["/assets/page-2.js", "/assets/page-1.js.br", "/assets", "/assets/%00"])(
  "there is nothing at %s",
  async (path) => {
    expect((await get(path, "br")).status).toBe(404);
  },
);

test("a folder that was not made yet has no files", () => {
  expect(readFiles(join(tmpdir(), "there-is-no-such-folder")).size).toBe(0);
});

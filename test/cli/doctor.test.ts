import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { diagnose } from "../../src/cli/doctor/findings.ts";
import { killSpawned, spawnServer } from "../support/spawn-server.ts";

/** What `doctor` finds of ports and files; `doctor.postgres.test.ts` and `doctor.redis.test.ts` have the rest. */

const LONG = { timeout: 120_000 };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ai-job-server-doctor-"));
});
const opened: Server[] = [];
afterEach(() => {
  for (const server of opened.splice(0)) server.close();
});
afterAll(async () => {
  await killSpawned();
  await rm(folder, { recursive: true });
});

const finding = async (check: string, env: Readonly<Record<string, string>>) =>
  (await diagnose({ DATABASE_URL: "memory:", PORT: "0", ...env })).find((found) => found.check === check);

/** @returns the port on which it listens from now on. */
async function listening(server: Server): Promise<string> {
  opened.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return String(typeof address === "object" ? address?.port : address);
}

describe("a port", () => {
  test("that is free is well, and is free afterwards, too", async () => {
    const port = await listening(createServer());
    await Promise.all(opened.splice(0).map((server) => once(server.close(), "close")));
    for (let at = 0; at < 2; at += 1) expect(await finding("port", { PORT: port })).toMatchObject({ state: "ok" });
  });

  test("that something else has fails, and the finding says what to do", LONG, async () => {
    const silent = await listening(createServer((socket) => socket.destroy()));
    const page = await listening(createHttpServer((_request, response) => response.end("<h1>It works!</h1>")));
    for (const [check, setting] of [
      ["port", "PORT"],
      ["metrics port", "METRICS_PORT"],
    ] as const)
      for (const taken of [silent, page])
        expect(await finding(check, { [setting]: taken })).toEqual({
          check,
          state: "failed",
          text: expect.stringContaining(`Stop what listens there, or set ${setting}`),
        });
  });

  test("of an address that this machine does not have fails", async () => {
    const env = { HOST: "203.0.113.1", AUTH: "required", PORT: "4000" };
    expect(await finding("port", env)).toMatchObject({ state: "failed", text: expect.stringContaining("203.0.113.1") });
  });

  test("that a server of ours has is noted, whoever may ask that one", LONG, async () => {
    const metrics = await listening(createServer());
    await Promise.all(opened.splice(0).map((server) => once(server.close(), "close")));
    const url = await spawnServer({
      DATABASE_URL: "memory:",
      OPERATOR_KEY: "the-key-of-the-operator-of-this-test",
      METRICS_PORT: metrics,
    }).url;
    const env = { PORT: new URL(url).port, METRICS_PORT: metrics };
    const text = expect.stringMatching(/an AI Job Server .*set another (METRICS_)?PORT/i);
    expect(await finding("port", env)).toEqual({ check: "port", state: "ok", text });
    expect(await finding("metrics port", env)).toEqual({ check: "metrics port", state: "ok", text });
  });

  test("that one of ours has which cannot serve is a warning", async () => {
    const body = { graphql: "/graphql", ready: "/ready", live: "/live" };
    const unready = createHttpServer(({ url }, response) => {
      const answer = url === "/ready" ? { ready: false, reason: "The database is a standby." } : body;
      response.writeHead(url === "/ready" ? 503 : 200).end(JSON.stringify(answer));
    });
    const text = expect.stringContaining("The database is a standby.");
    expect(await finding("port", { PORT: await listening(unready) })).toEqual({
      check: "port",
      state: "warning",
      text,
    });
  });
});

describe("a manifest of trusted documents", () => {
  test.each([
    ["is not there", undefined, "cannot be read"],
    ["is no JSON", "{", "must be a JSON object"],
    ["is empty", "{}", "must be a JSON object"],
    ["has a document that is none", '{"abc":"quarry { x }"}', "is no GraphQL"],
  ])("that %s fails", async (what, content, said) => {
    const TRUSTED_DOCUMENTS = join(folder, `${what}.json`);
    if (content !== undefined) await writeFile(TRUSTED_DOCUMENTS, content);
    const text = expect.stringMatching(new RegExp(`TRUSTED_DOCUMENTS.*${said}`));
    expect(await finding("trusted documents", { TRUSTED_DOCUMENTS })).toEqual({
      check: "trusted documents",
      state: "failed",
      text,
    });
  });

  test("that can be used is well", async () => {
    const TRUSTED_DOCUMENTS = join(folder, "documents.json");
    await writeFile(TRUSTED_DOCUMENTS, '{"abc":"query { viewer { principal } }"}');
    expect(await finding("trusted documents", { TRUSTED_DOCUMENTS })).toMatchObject({ state: "ok" });
  });
});

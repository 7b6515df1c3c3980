import { existsSync, watch } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { openDatabase } from "../../src/db/open.ts";
import { within } from "../../src/db/scope.ts";
import { EVERYWHERE } from "../support/engine.ts";
import { paceHere } from "../support/pace.ts";
import { killSpawned, post, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** The embedded store in a folder, as a process of the product has it: nothing that was acknowledged is lost. */

let parent: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "ai-job-server-"));
});
afterAll(async () => {
  await killSpawned();
  await rm(parent, { recursive: true });
});

const COUNT = "{ aiJobs(first: 1) { totalCount } }";
const SUBMIT = `mutation ($note: JSON) {
  submitAiJob(input: { jobKind: DOC_SUMMARIZE, protocolId: "durable", jobInputs: $note }) {
    ... on SubmitAiJobPayload { job { jobId } }
  }
}`;
const submitted = z.object({ submitAiJob: z.object({ job: z.object({ jobId: z.string() }) }) });

describe("a folder's life", () => {
  let folder: string;
  let server: SpawnedServer;
  let acknowledged: string[];

  test("a server on a fresh folder answers within 5 s of its process's start", async () => {
    folder = join(parent, "life");
    const startedAt = performance.now();
    server = start(folder);
    expect(await post(await server.url, COUNT)).toEqual({ aiJobs: { totalCount: 0 } });
    // What other tests on this machine took of the time is not the server's, nor is that the machine is a slow one.
    expect(performance.now() - startedAt - server.heldUp()).toBeLessThan(5000 * paceHere());
  });

  test("a second process is refused while the first one lives, which goes on", async () => {
    const holder = (await readdir(join(folder, "lock"))).map((entry) => entry.split("-")[0]);
    const second = await start(folder).exited;
    expect(second.code).toBe(1);
    expect(second.stderr).toBe(
      `${join(folder, "lock")} is locked by process ${holder.join()}. ` +
        "Stop that server, or set DATABASE_URL to another folder.\n",
    );
    expect(await post(await server.url, COUNT)).toEqual({ aiJobs: { totalCount: 0 } });
  });

  test("every job that was acknowledged survives SIGKILL in the middle of submits", async () => {
    const url = await server.url;
    acknowledged = [];
    const clients = ["a", "b", "c"].map(async (client) => {
      for (let n = 0; ; n++) {
        const answer = submitted.parse(await post(url, SUBMIT, { note: { client, n } }));
        acknowledged.push(answer.submitAiJob.job.jobId);
        if (acknowledged.length === 40) void server.end("SIGKILL");
      }
    });
    const outcomes = await Promise.allSettled(clients);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    expect(await server.end("SIGKILL")).toMatchObject({ signal: "SIGKILL" });
    expect(acknowledged.length).toBeGreaterThanOrEqual(40);
    // The dead process still seems to hold the folder; the next one takes it over at once.
    expect(await readdir(join(folder, "lock"))).toHaveLength(1);
    server = start(folder);
    await expectStored(await server.url, acknowledged);
  });

  test("and a clean stop, which lets go of the folder", async () => {
    expect(await server.end("SIGTERM")).toMatchObject({ code: 0, stderr: "" });
    expect(await readdir(join(folder, "lock"))).toEqual([]);
    const database = await openDatabase({ kind: "folder", path: folder });
    const left = await within(EVERYWHERE, () => database.prisma.aiJob.findMany({ select: { jobId: true } }));
    await database.close();
    expect(left.map(({ jobId }) => jobId)).toEqual(expect.arrayContaining(acknowledged));
    // At most what each of the three clients had in flight was stored without a word.
    expect(left.length).toBeLessThanOrEqual(acknowledged.length + 3);
  });
});

test("a first start that was killed while it made the database leaves a folder that starts", async () => {
  const folder = join(parent, "killed");
  await mkdir(folder);
  const first = start(folder);
  const watcher = watch(folder, (_, name) => {
    if (name?.startsWith("cluster")) void first.end("SIGKILL");
  });
  await first.exited;
  watcher.close();
  expect(existsSync(join(folder, "cluster"))).toBe(true);
  expect(existsSync(join(folder, "cluster-is-complete"))).toBe(false);

  const database = await openDatabase({ kind: "folder", path: folder });
  expect(await within(EVERYWHERE, () => database.prisma.aiJob.count())).toBe(0);
  await database.close();
});

function start(folder: string): SpawnedServer {
  return spawnServer({ DATABASE_URL: `file:${folder}` });
}

async function expectStored(url: string, jobIds: readonly string[]): Promise<void> {
  const fields = jobIds.map((jobId, index) => `j${index}: aiJob(jobId: "${jobId}") { jobId state version }`);
  const answer = await post(url, `{ ${fields.join("\n")} }`);
  const expected = jobIds.map((jobId, index) => [`j${index}`, { jobId, state: "QUEUED", version: 1 }]);
  expect(answer).toEqual(Object.fromEntries(expected));
}

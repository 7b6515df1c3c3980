import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Caller, type GuardedServer, startGuardedServer } from "../support/guarded-server.ts";
import { everything, post } from "../support/http.ts";
import { ask } from "../support/unions.ts";

/** A key's kinds limit what it submits and claims (section 11). */

let db: TestDatabase;
let server: GuardedServer;
let anyKind: Caller;
let edits: Caller;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startGuardedServer(db);
  anyKind = await server.keyOf({ roles: ["ADMIN"] });
  edits = await server.keyOf({ roles: ["ADMIN"], jobKinds: ["DOC_EDIT", "SHEET_TRANSFORM"] });
});
afterAll(async () => {
  await server.close();
  await db.close();
});

/** Submits a job of each of these kinds, as somebody who may submit any. @returns their ids. */
async function queued(...jobKinds: readonly string[]): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const jobKind of jobKinds) {
    const protocolId = randomUUID();
    await ask(server.url, "submitAiJob", { jobKind, protocolId }, anyKind.headers);
    ids.push((await db.prisma.aiJob.findFirstOrThrow({ where: { protocolId } })).jobId);
  }
  return ids;
}

/** Claims all that is due. @returns the kinds of the jobs, or the error. */
async function claimed(caller: Caller, more: object = {}) {
  const query = `mutation ($input: ClaimAiJobsInput!) { claimAiJobs(input: $input) {
    ... on ClaimAiJobsPayload { claims { job { jobKind } } } ... on Error { code message } } }`;
  const variables = { input: { workerId: "w", limit: 100, ...more } };
  return (await post(server.url, JSON.stringify({ query, variables }), caller.headers)).data?.claimAiJobs;
}

const ofKinds = (...kinds: readonly string[]) => ({ claims: kinds.map((jobKind) => ({ job: { jobKind } })) });
const forbidden = (kind: string) => ({ code: "FORBIDDEN", message: expect.stringContaining(kind) });

describe("a key of some kinds", () => {
  test("submits those, and is refused another, by its name", async () => {
    const submit = (jobKind: string) => ask(server.url, "submitAiJob", { jobKind, protocolId: "p" }, edits.headers);
    expect(await submit("DOC_EDIT")).toMatchObject({ __typename: "SubmitAiJobPayload" });
    const before = await everything(db.prisma);
    expect(await submit("TERMINAL_EXEC")).toMatchObject(forbidden("TERMINAL_EXEC"));
    expect(await everything(db.prisma)).toEqual(before);
    await claimed(anyKind);
  });

  test("claims those, whether it names kinds or not, and no others", async () => {
    await queued("ASR_TRANSCRIBE", "DOC_EDIT", "SHEET_TRANSFORM", "CANVAS_CLUSTER");
    expect(await claimed(edits, { jobKinds: ["SHEET_TRANSFORM"] })).toEqual(ofKinds("SHEET_TRANSFORM"));
    expect(await claimed(edits)).toEqual(ofKinds("DOC_EDIT"));
    expect(await claimed(edits)).toEqual(ofKinds());
    expect(await claimed(anyKind)).toEqual(ofKinds("ASR_TRANSCRIBE", "CANVAS_CLUSTER"));
  });

  test("that asks for another kind is refused, by its name, and gets nothing", async () => {
    await queued("DOC_EDIT", "ASR_TRANSCRIBE");
    expect(await claimed(edits, { jobKinds: ["DOC_EDIT", "ASR_TRANSCRIBE"] })).toMatchObject(
      forbidden("ASR_TRANSCRIBE"),
    );
    expect(await claimed(anyKind)).toEqual(ofKinds("DOC_EDIT", "ASR_TRANSCRIBE"));
  });

  test("starts those, and is refused another", async () => {
    const [own = "", other = ""] = await queued("DOC_EDIT", "ASR_TRANSCRIBE");
    const start = (jobId: string) => ask(server.url, "startWorkflow", { jobId, workerId: "w" }, edits.headers);
    expect(await start(own)).toMatchObject({ __typename: "StartWorkflowPayload" });
    expect(await start(other)).toMatchObject(forbidden("ASR_TRANSCRIBE"));
    expect(await db.prisma.aiJob.findUnique({ where: { jobId: other } })).toMatchObject({
      state: "QUEUED",
      version: 1,
    });
    await claimed(anyKind);
  });

  test("that waits for a job shares no claim with one of all kinds", async () => {
    const waiting = claimed(edits, { waitSeconds: 20 });
    await expect.poll(() => server.claimer.waiting).toBe(1);
    await queued("ASR_TRANSCRIBE", "DOC_EDIT");
    expect(await waiting).toEqual(ofKinds("DOC_EDIT"));
    expect(await claimed(anyKind)).toEqual(ofKinds("ASR_TRANSCRIBE"));
  });
});

test("no job is claimed where the kinds of two claims differ, by whoever's key comes first", async () => {
  await queued("ASR_TRANSCRIBE", "DOC_EDIT");
  const both = await Promise.all([claimed(edits, { limit: 1 }), claimed(anyKind, { limit: 1 })]);
  expect(both[0]).toEqual(ofKinds("DOC_EDIT"));
});

import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { claimAiJobs } from "../../src/claims/claim.ts";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import { within } from "../../src/db/scope.ts";
import { listJobs } from "../../src/jobs/list.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { createPostgresDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, submitted, WORKSPACE } from "../support/engine.ts";
import { aCompletion } from "../support/reports.ts";

/** A database, or a role, may have settings that change how values are written and read: the server's sessions have their own. */

let empty: Awaited<ReturnType<typeof createPostgresDatabase>>;
let admin: pg.Client;
beforeAll(async () => {
  empty = await createPostgresDatabase();
  admin = new pg.Client({ connectionString: empty.url });
  await admin.connect();
});
afterAll(async () => {
  await admin.end();
  await empty.drop();
});

const SETTINGS: readonly (readonly [string, string])[] = [
  ["DateStyle", "German"],
  ["DateStyle", "SQL, DMY"],
  ["DateStyle", "SQL, MDY"],
  ["DateStyle", "Postgres, DMY"],
  ["DateStyle", "ISO, YMD"],
  ["TimeZone", "Asia/Kolkata"],
  ["TimeZone", "America/St_Johns"],
  ["IntervalStyle", "sql_standard"],
  ["bytea_output", "escape"],
  ["extra_float_digits", "-15"],
  ["standard_conforming_strings", "off"],
  ["array_nulls", "off"],
  ["transform_null_equals", "on"],
  ["search_path", "pg_catalog"],
  ["client_encoding", "LATIN1"],
  ["quote_all_identifiers", "on"],
  ["default_transaction_isolation", "serializable"],
  ["default_transaction_deferrable", "on"],
  ["statement_timeout", "1"],
  ["lock_timeout", "1"],
  ["idle_in_transaction_session_timeout", "1"],
  ["plan_cache_mode", "force_custom_plan"],
  ["enable_seqscan", "on"],
  ["jit", "on"],
];

test.each(SETTINGS)("a database with %s = %s", async (name, value) => {
  const database = new URL(empty.url).pathname.slice(1);
  const quoted = name === "search_path" ? value : `'${value}'`;
  await admin.query(`ALTER DATABASE ${database} SET ${name} = ${quoted}`);
  let opened: Database | undefined;
  try {
    opened = await openDatabase({ kind: "postgres", url: empty.url, poolSize: 2 });
    const engine = engineOn(opened);
    const runAfter = new Date("2026-02-03T04:05:06.789Z");
    const job = await submitted(engine, { jobInputs: { text: "naïve – 日本" }, runAfter, entityRefs: [] });
    const worker = { workerId: "w", leaseSeconds: 60, limit: 100, jobKinds: null, workspaceId: WORKSPACE };
    const { claims } = await claimAiJobs(engine, worker);
    const claim = claims.find(({ job: { jobId } }) => jobId === job.jobId);
    if (!claim) throw new Error("The job was not claimed.");
    ok(await advanceWorkflow(engine, { ...aStep(claim, "n"), reportId: crypto.randomUUID() }));
    ok(await advanceWorkflow(engine, aStep(claim, "n", { outcome: "SUCCEEDED" })));
    const [completed] = await completeWorkflows(engine, [aCompletion(claim)]);
    expect(completed).toMatchObject({ job: { state: "COMPLETED" } });
    const { prisma } = opened;
    const fields = ["jobId", "jobInputs", "createdAt", "updatedAt"] as const;
    const [listed] = await within([WORKSPACE], () =>
      listJobs(prisma, WORKSPACE, { states: ["COMPLETED"] }, { limit: 1, fromEnd: false }, fields),
    );
    expect(listed).toMatchObject({ jobId: job.jobId, jobInputs: { text: "naïve – 日本" } });
    expect(Math.abs(Date.now() - Number(listed?.createdAt))).toBeLessThan(120_000);
    const stored = await within([WORKSPACE], () => prisma.aiJob.findUniqueOrThrow({ where: { jobId: job.jobId } }));
    expect(stored.createdAt).toEqual(listed?.createdAt);
  } finally {
    await opened?.close();
    await admin.query(`ALTER DATABASE ${database} RESET ${name}`);
  }
});

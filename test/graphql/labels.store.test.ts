import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AiJobFilter, LabelInput } from "../generated/graphql.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Labels as clients give, read and search them (section 14). */

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const SUBMIT = graphql(`
  mutation LabelsSubmit($labels: [LabelInput!]!, $parentJobId: UUID) {
    submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "labels", labels: $labels, parentJobId: $parentJobId }) {
      ... on SubmitAiJobPayload {
        job {
          jobId
          submittedBy
          labels {
            key
            value
          }
        }
      }
      ... on InvalidInputError {
        issues {
          path
          message
        }
      }
    }
  }
`);

async function submit(labels: readonly LabelInput[], parentJobId: string | null = null) {
  const { submitAiJob } = await server.run(SUBMIT, { labels: [...labels], parentJobId });
  if (!("job" in submitAiJob)) throw new Error(JSON.stringify(submitAiJob));
  return submitAiJob.job;
}

const LIST = graphql(`
  query LabelsList($filter: AiJobFilter) {
    aiJobs(filter: $filter) {
      nodes {
        jobId
        labels {
          key
          value
        }
      }
    }
    aiJobStats(filter: $filter) {
      total
    }
  }
`);
const list = async (filter: AiJobFilter) => (await server.run(LIST, { filter })).aiJobs.nodes;

const TEAM = { key: "team", value: "a team of many words, 日本語 too" };
const APP = { key: "app/v1.0_x-y", value: "" };

test("labels are shown by key, whatever the order of the submit, also those of a parent and in a list", async () => {
  const parent = await submit([TEAM, APP]);
  const child = await submit([], parent.jobId);
  expect(parent).toMatchObject({ labels: [APP, TEAM], submittedBy: "anonymous" });
  expect(child.labels).toEqual([APP, TEAM]);
  expect((await submit([])).labels).toEqual([]);
  const both = [child, parent].map(({ jobId, labels }) => ({ jobId, labels }));
  expect(await list({ labels: [TEAM] })).toEqual(both);
  expect(await list({ labels: [APP, TEAM], submittedBy: "anonymous" })).toEqual(both);
  expect(await list({ labels: [TEAM, { ...APP, value: "x" }] })).toEqual([]);
  expect(await list({ labels: [TEAM], submittedBy: "operator" })).toEqual([]);
  expect(await list({ labels: [] })).toEqual([]);
  expect((await server.run(LIST, { filter: { labels: [TEAM], states: ["QUEUED"] } })).aiJobStats.total).toBe(2);
});

test("a list reads the labels of all its jobs in one statement, and of jobs without any in none", async () => {
  const one = await submit([{ key: "batch", value: "1" }]);
  await submit([], one.jobId);
  await list({ labels: [{ key: "batch", value: "1" }] });
  db.statements();
  await list({ labels: [{ key: "batch", value: "1" }] });
  const reads = () =>
    db.statements().filter((sql) => sql.includes("FROM unnest") && sql.includes("JOIN job_labels ON"));
  expect(reads()).toHaveLength(1);
  await list({ protocolId: "nothing", labels: [{ key: "batch", value: "2" }] });
  expect(reads()).toHaveLength(0);
});

describe("labels are refused", () => {
  const many = Array.from({ length: 33 }, (_, index) => ({ key: `key-${index}`, value: "" }));
  test.each<[string, readonly LabelInput[], string]>([
    ["beyond 32", many, "labels"],
    ["with a key twice", [TEAM, APP, { ...TEAM, value: "other" }], "labels.2.key"],
    ["without a key", [{ ...TEAM, key: "" }], "labels.0.key"],
    ["with a key of 64 characters", [{ ...TEAM, key: "x".repeat(64) }], "labels.0.key"],
    ["with a key in upper case", [APP, { ...TEAM, key: "Team" }], "labels.1.key"],
    ["with a key with a line feed", [{ ...TEAM, key: "team\n" }], "labels.0.key"],
    ["with a value of 201 characters", [{ ...TEAM, value: "v".repeat(201) }], "labels.0.value"],
    ["with a value with U+0000", [{ ...TEAM, value: "a\0b" }], "labels.0.value"],
  ])("%s", async (_what, labels, path) => {
    const { submitAiJob } = await server.run(SUBMIT, { labels: [...labels] });
    expect(submitAiJob).toMatchObject({ issues: [{ path: ["input", ...path.split(".")] }] });
  });

  test("of a filter that has more than a job", async () => {
    await expect(server.run(LIST, { filter: { labels: many } })).rejects.toThrow("labels");
  });
});

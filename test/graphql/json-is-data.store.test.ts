import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { watch } from "../support/live.ts";
import { tenfoldInLong } from "../support/long.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

/** No key of a client's JSON means anything to the server: whatever went in comes out, everywhere. */

const RUNS = tenfoldInLong(25);

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

/** Keys that mean something to JavaScript, to libraries, or to JSON itself. */
const KEYS = [
  "then",
  "__proto__",
  "constructor",
  "prototype",
  "toJSON",
  "toString",
  "valueOf",
  "length",
  "0",
  "-1",
  "1e3",
  "",
];

const documents = fc.letrec<{ value: fc.JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<fc.JsonValue>(null, true, false, 0, -1.5, 2 ** 53 - 1, "", "then", "[object Object]"),
    fc.string({ unit: "grapheme", maxLength: 5 }),
    fc.array(tie("value"), { maxLength: 3 }),
    fc
      .array(fc.tuple(fc.oneof(fc.constantFrom(...KEYS), fc.string({ maxLength: 3 })), tie("value")), { maxLength: 4 })
      .map(
        // Not a literal: `{ ["__proto__"]: 1 }` is an own key, but an assignment would set the prototype.
        (entries) => Object.fromEntries(entries),
      ),
  ),
})).value;

const SUBMIT = graphql(`
  mutation JsonSubmit($protocolId: String!, $json: JSON) {
    submitAiJob(input: { jobKind: DOC_SUMMARIZE, protocolId: $protocolId, jobInputs: $json }) {
      ... on SubmitAiJobPayload {
        then: job {
          jobId
          jobInputs
        }
      }
    }
  }
`);
const CLAIM = graphql(`
  mutation JsonClaim {
    claimAiJobs(input: { workerId: "w" }) {
      ... on ClaimAiJobsPayload {
        claims {
          leaseToken
          workflowRun {
            workflowRunId
          }
          job {
            then: jobInputs
          }
        }
      }
    }
  }
`);
const STEP = graphql(`
  mutation JsonStep($workflowRunId: UUID!, $leaseToken: String!, $json: JSON) {
    started: advanceWorkflow(
      input: {
        workflowRunId: $workflowRunId
        leaseToken: $leaseToken
        step: { nodeId: "then", nodeType: "tool", outcome: STARTED, inputPayload: $json }
      }
    ) {
      ... on AdvanceWorkflowPayload {
        node {
          inputPayload
        }
      }
    }
    ended: advanceWorkflow(
      input: {
        workflowRunId: $workflowRunId
        leaseToken: $leaseToken
        step: { nodeId: "then", nodeType: "tool", outcome: SUCCEEDED, outputPayload: $json }
      }
    ) {
      ... on AdvanceWorkflowPayload {
        node {
          outputPayload
        }
      }
    }
    completeWorkflows(
      input: { completions: [{ workflowRunId: $workflowRunId, leaseToken: $leaseToken, jobOutputs: $json }] }
    ) {
      ... on CompleteWorkflowsPayload {
        results {
          ... on CompletedWorkflow {
            job {
              jobOutputs
            }
          }
        }
      }
    }
  }
`);
const LIST = graphql(`
  query JsonList($protocolId: String!) {
    aiJobs(filter: { protocolId: $protocolId }) {
      nodes {
        jobInputs
        jobOutputs
        workflowRun {
          steps {
            inputPayload
            outputPayload
          }
        }
      }
    }
  }
`);

const told = z.object({
  change: z.object({ job: z.object({ state: z.string(), jobInputs: z.unknown(), jobOutputs: z.unknown() }) }),
});
const WATCH = `subscription ($jobId: UUID!) {
  change: aiJobChanged(jobId: $jobId, untilEnded: true) { job { state jobInputs jobOutputs } } }`;

test(
  "a document comes out of submit, claim, steps, completion, lists and subscriptions as it went in",
  async () => {
    const property = fc.asyncProperty(documents, async (json) => {
      // A workspace of its own: the next job that is due is this one.
      const workspaceId = randomUUID();
      const header = { "x-workspace-id": workspaceId };
      const protocolId = "then";
      const { submitAiJob } = await run(server.url, SUBMIT, { protocolId, json }, header);
      if (!("then" in submitAiJob)) throw new Error("The job must be there.");
      const { jobId, jobInputs } = submitAiJob.then;
      expect(jobInputs).toEqual(json);
      await using changes = watch(
        "graphql-sse",
        server.url,
        { query: WATCH, variables: { jobId }, workspaceId },
        (data) => told.parse(data).change.job,
      );
      const { claimAiJobs } = await run(server.url, CLAIM, {}, header);
      const [claim] = "claims" in claimAiJobs ? claimAiJobs.claims : [];
      if (!claim) throw new Error("The job must be due.");
      expect(claim.job.then).toEqual(json);
      const proof = { ...claim.workflowRun, leaseToken: claim.leaseToken };
      expect(await run(server.url, STEP, { ...proof, json }, header)).toEqual({
        started: { node: { inputPayload: json } },
        ended: { node: { outputPayload: json } },
        completeWorkflows: { results: [{ job: { jobOutputs: json } }] },
      });
      const { aiJobs } = await run(server.url, LIST, { protocolId }, header);
      const steps = [{ inputPayload: json, outputPayload: json }];
      expect(aiJobs.nodes).toEqual([{ jobInputs: json, jobOutputs: json, workflowRun: { steps } }]);
      const seen = await changes.until((all) => all.at(-1)?.state === "COMPLETED");
      expect(seen.at(-1)).toEqual({ state: "COMPLETED", jobInputs: json, jobOutputs: json });
    });
    await fc.assert(property, {
      numRuns: RUNS,
      examples: [[JSON.parse('{"then":1}')], [JSON.parse('{"__proto__":{"toJSON":1}}')]],
    });
  },
  tenfoldInLong(60_000),
);

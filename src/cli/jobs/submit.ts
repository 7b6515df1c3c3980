import type { Job, JobClient, SubmitAiJobInput } from "@ai-job-server/sdk/client";
import { assertAnswers, type Environment, withClient, workspaceCommand } from "../connection.ts";
import { print, printJson, tell } from "../output.ts";
import { readJson } from "../read-json.ts";
import { parseCount, parseId, parseInteger, parseKind, parseLabels } from "../values.ts";
import { NOT_COMPLETED, setExitCode } from "./exit-code.ts";
import { showJobs } from "./show.ts";

/** For how long the same submit is sent again and again, in milliseconds, while the server does not take it. */
const SUBMIT_MS = 60_000;

/** `submit`: a job, and with --wait what becomes of it. */
export function submitCommand(env: Environment) {
  return workspaceCommand("submit")
    .description("Submits a job. Its id is the one thing on standard output; with --wait, its outputs.")
    .argument("<kind>", "what it is, such as DOC_SUMMARIZE", parseKind)
    .requiredOption("--protocol <id>", "by which protocol it is to be done")
    .option("--input <json>", "its inputs: JSON, @FILE for a file of it, or - for standard input")
    .option("--label <key=value>", "a label; may be repeated", parseLabels)
    .option("--priority <number>", "jobs of a greater one are claimed sooner", parseInteger)
    .option("--max-attempts <count>", "how often it is tried", parseCount)
    .option("--token-budget <count>", "the most tokens that it may use", parseCount)
    .option("--parent <id>", "the job of which it is a part", parseId)
    .option("--idempotency-key <key>", "the same again is the same job, and not another one")
    .option("--wait", `waits until it has ended; ends with ${NOT_COMPLETED} unless it was completed`)
    .action(async (jobKind, options) => {
      const {
        protocol: protocolId,
        input,
        label,
        priority,
        maxAttempts,
        tokenBudget,
        parent,
        idempotencyKey,
      } = options;
      const job: SubmitAiJobInput = {
        jobKind,
        protocolId,
        ...(input === undefined ? {} : { jobInputs: await readJson(input) }),
        ...(label ? { labels: [...label] } : {}),
        ...(priority === undefined ? {} : { priority }),
        ...(maxAttempts === undefined ? {} : { maxAttempts }),
        ...(tokenBudget === undefined ? {} : { tokenBudget }),
        ...(parent === undefined ? {} : { parentJobId: parent }),
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      };
      await withClient(options, env, async (client) => {
        await assertAnswers(client);
        const submitted = await client.submit(job, { signal: AbortSignal.timeout(SUBMIT_MS) });
        if (options.wait) return tellEnd(client, submitted, options.json);
        if (options.json) return printJson(submitted);
        print(submitted.jobId);
      });
    });
}

async function tellEnd(client: JobClient, { jobId }: Job, json: true | undefined): Promise<void> {
  if (!json) tell(jobId);
  const job = await client.waitFor(jobId);
  setExitCode(job);
  if (json) return printJson(job);
  tell(showJobs([job]));
  if (job.jobOutputs !== null) printJson(job.jobOutputs);
}

import type { Job } from "@ai-job-server/sdk/client";
import { type Environment, withClient, workspaceCommand } from "../connection.ts";
import { print, printJson } from "../output.ts";
import { readJson } from "../read-json.ts";
import { parseId } from "../values.ts";
import { showJobs } from "./show.ts";

/** `cancel`, `retry`, `answer`: what people do to one job. Each prints the job as it is then. */

export function cancelCommand(env: Environment) {
  return workspaceCommand("cancel")
    .description("Cancels a job; a worker that is at it is stopped.")
    .argument("<id>", "the job", parseId)
    .requiredOption("--reason <text>", "why, for people and for the log")
    .option("--include-children", "and all jobs below it")
    .action(async (jobId, options) => {
      const { reason, includeChildren = false } = options;
      show(await withClient(options, env, (client) => client.cancel(jobId, reason, { includeChildren })), options.json);
    });
}

export function retryCommand(env: Environment) {
  return workspaceCommand("retry")
    .description("Queues a job again that has failed or stalled, though no attempts are left.")
    .argument("<id>", "the job", parseId)
    .action(async (jobId, options) => {
      show(await withClient(options, env, (client) => client.retry(jobId)), options.json);
    });
}

export function answerCommand(env: Environment) {
  return workspaceCommand("answer")
    .description("Answers the question of a job that waits for people.")
    .argument("<id>", "the job", parseId)
    .argument("<json>", "the answer: JSON, @FILE for a file of it, or - for standard input")
    .option("--request <id>", "which question is meant, so that another one is not answered by mistake", parseId)
    .action(async (jobId, given, options) => {
      const answer = await readJson(given);
      const which = options.request === undefined ? {} : { requestId: options.request };
      show(await withClient(options, env, (client) => client.answer(jobId, answer, which)), options.json);
    });
}

function show(job: Job, json: true | undefined): void {
  if (json) printJson(job);
  else print(showJobs([job]));
}

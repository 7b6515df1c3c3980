import type { JobClient } from "@ai-job-server/sdk/client";
import { assertAnswers, type Environment, withClient, workspaceCommand } from "./connection.ts";
import { CommandError } from "./errors.ts";
import { print, printJson, tell } from "./output.ts";
import { demoJobs } from "./seed/jobs.ts";
import { workOn } from "./seed/work.ts";
import { parseCount } from "./values.ts";

/** `seed`: jobs to look at, in every state, done by a worker of the kit as a real one would do them. */
export function seedCommand(env: Environment) {
  return workspaceCommand("seed")
    .description("Fills an empty workspace with jobs to look at: done, failed, poisoned, waiting for people, running.")
    .option("--count <count>", "how many jobs", parseCount, 40)
    .action((options) =>
      withClient(options, env, async (client, address) => {
        await assertAnswers(client);
        await assertEmpty(client);
        const jobs = await Promise.all(demoJobs(options.count).map((job) => client.submit(job)));
        if (!options.json) tell(`${jobs.length} jobs are submitted; a worker does them now.`);
        await workOn(address);
        if (options.json) printJson({ submitted: jobs.length });
        else print("Done: see `npx ai-job-server status` and `npx ai-job-server list`.");
      }),
    );
}

async function assertEmpty(client: JobClient): Promise<void> {
  const { nodes } = await client.jobs({ first: 1 });
  if (nodes.length === 0) return;
  throw new CommandError(
    "There are jobs in this workspace already, and a demonstration must not mix with them: take an empty one.",
  );
}

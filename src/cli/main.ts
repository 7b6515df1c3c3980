#!/usr/bin/env -S node --max-semi-space-size=64
import { readFileSync } from "node:fs";
import { Command } from "@commander-js/extra-typings";
import { CommanderError } from "commander";
import { z } from "zod";
import { AppError } from "../errors.ts";
import { doctorCommand } from "./doctor.ts";
import { CommandError, UsageError } from "./errors.ts";
import { answerCommand, cancelCommand, retryCommand } from "./jobs/change.ts";
import { listCommand } from "./jobs/list.ts";
import { logsCommand } from "./jobs/logs.ts";
import { submitCommand } from "./jobs/submit.ts";
import { watchCommand } from "./jobs/watch.ts";
import { keyCommands } from "./keys.ts";
import { logCommands, migrateCommand } from "./operating.ts";
import { tell } from "./output.ts";
import { seedCommand } from "./seed.ts";
import { serveCommand } from "./serve.ts";
import { statusCommand } from "./status.ts";
import { inOneLine } from "./table.ts";
import { usageCommand } from "./usage.ts";
import { workspaceCommands } from "./workspaces.ts";

/**
 * The command line (docs/command-line.md). It ends with 0 where a command was done, 1 where it failed, 2 where it was used wrongly, and 3 where
 * the job that it waited for was not completed.
 */

const { env } = process;
const manifest = z.object({ version: z.string() });
const { version } = manifest.parse(JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")));
const program = new Command("ai-job-server")
  .description("The AI Job Server, and commands that ask one.")
  .version(version)
  .exitOverride()
  .commandsGroup("The server:")
  .addCommand(serveCommand())
  .addCommand(migrateCommand(env))
  .addCommand(doctorCommand(env))
  .addCommand(statusCommand(env))
  .addCommand(logCommands(env))
  .commandsGroup("Jobs:")
  .addCommand(submitCommand(env))
  .addCommand(listCommand(env))
  .addCommand(watchCommand(env))
  .addCommand(logsCommand(env))
  .addCommand(cancelCommand(env))
  .addCommand(retryCommand(env))
  .addCommand(answerCommand(env))
  .addCommand(usageCommand(env))
  .addCommand(seedCommand(env))
  .commandsGroup("Who may ask:")
  .addCommand(keyCommands(env))
  .addCommand(workspaceCommands(env));

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Whoever read it has seen enough, as `head` does.
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong. It also ends so after --help, with 0.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else if (error instanceof UsageError) {
    tell(`error: ${inOneLine(error.message)}`);
    process.exitCode = 2;
  } else {
    const isSaid = error instanceof CommandError || error instanceof AppError;
    // Imported on demand: it knows the errors of the whole server.
    tell(isSaid ? error.message.split("\n").map(inOneLine).join("\n") : (await import("../explain.ts")).explain(error));
    process.exitCode = 1;
  }
}

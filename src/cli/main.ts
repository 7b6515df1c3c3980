import { Command } from "@commander-js/extra-typings";
import { CommanderError } from "commander";
import { AppError } from "../errors.ts";
import { CommandError } from "./backend.ts";
import { keyCommands } from "./keys.ts";
import { logCommands, migrateCommand } from "./operating.ts";
import { tell } from "./output.ts";
import { workspaceCommands } from "./workspaces.ts";

/** Commands for operators: `npm run cli -- COMMAND` (docs/operating.md). It exits with 1 where one failed, 2 where it was used wrongly. */

const { env } = process;
const program = new Command("npm run cli --")
  .description("Commands of the AI Job Server.")
  .exitOverride()
  .addCommand(keyCommands(env))
  .addCommand(workspaceCommands(env))
  .addCommand(migrateCommand(env))
  .addCommand(logCommands(env));

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong. It also ends so after --help, with 0.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    const isSaid = error instanceof CommandError || error instanceof AppError;
    // Imported on demand: it knows the errors of the whole server.
    tell(isSaid ? error.message : (await import("../explain.ts")).explain(error));
    process.exitCode = 1;
  }
}

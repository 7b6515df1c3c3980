import { Command } from "@commander-js/extra-typings";
import { connectedCommand, type Environment, withBackend } from "./connection.ts";
import { print, printJson, tell } from "./output.ts";
import { showWorkspaces } from "./show.ts";
import { parseId, parseName } from "./values.ts";

/** `workspaces create|list` (section 11). */
export function workspaceCommands(env: Environment) {
  return new Command("workspaces")
    .description("Makes and lists workspaces.")
    .exitOverride()
    .addCommand(createCommand(env))
    .addCommand(listCommand(env));
}

function createCommand(env: Environment) {
  return connectedCommand("create")
    .description("Makes a workspace. Its id is the one thing on standard output.")
    .argument("<name>", "for people", parseName)
    .option("--id <id>", "its id, where it has one already; the same may be sent again", parseId)
    .action(async (name, options) => {
      const workspace = { name, workspaceId: options.id ?? null };
      const made = await withBackend(options, env, (backend) => backend.createWorkspace(workspace));
      if (options.json) return printJson(made);
      tell(`${showWorkspaces([made])}\nThe id:`);
      print(made.workspaceId);
    });
}

function listCommand(env: Environment) {
  return connectedCommand("list")
    .description("Lists all workspaces, newest first where the server gave the ids.")
    .action(async (options) => {
      const workspaces = await withBackend(options, env, (backend) => backend.listWorkspaces());
      if (options.json) printJson(workspaces);
      else print(showWorkspaces(workspaces));
    });
}

import { Command } from "@commander-js/extra-typings";
import type { ApiKeyView, KeyWithSecretView } from "./backend.ts";
import { connectedCommand, type Environment, withBackend } from "./connection.ts";
import { print, printJson, tell } from "./output.ts";
import { showKeys } from "./show.ts";
import { parseExpiry, parseId, parseKinds, parseName, parseOverlap, parseRoles } from "./values.ts";

/** `keys create|list|rotate|revoke` (section 11). */
export function keyCommands(env: Environment) {
  return new Command("keys")
    .description("Makes, lists, rotates and revokes API keys.")
    .exitOverride()
    .addCommand(createCommand(env))
    .addCommand(listCommand(env))
    .addCommand(rotateCommand(env))
    .addCommand(revokeCommand(env));
}

function createCommand(env: Environment) {
  return connectedCommand("create")
    .description("Makes a key. Its secret is the one thing on standard output, this once.")
    .argument("<name>", "for people", parseName)
    .requiredOption("--role <role>", "what it is there for; may be repeated", parseRoles)
    .option("--workspace <id>", "the workspace that it is of; needed where the caller is in none", parseId)
    .option("--all-workspaces", "it is of the whole deployment, and not of one workspace")
    .option(
      "--kind <kind>",
      "a kind of jobs that it may submit and claim; may be repeated; if left out, all",
      parseKinds,
    )
    .option(
      "--expires <when>",
      "when it ends: a time such as 2027-01-31T12:00:00Z, or 90m, 12h, 30d from now",
      parseExpiry,
    )
    .action(async (name, options) => {
      const { role: roles, kind: jobKinds = null, expires: expiresAt = null, allWorkspaces = false } = options;
      const key = { name, roles, jobKinds, expiresAt, allWorkspaces };
      printSecret(await withBackend(options, env, (backend) => backend.createKey(key)), options.json);
    });
}

function listCommand(env: Environment) {
  return connectedCommand("list")
    .description("Lists keys, newest first, ended ones included.")
    .option("--workspace <id>", "only keys of this workspace", parseId)
    .action(async (options) => {
      const { workspace } = options;
      const keys = await withBackend(options, env, (backend) => backend.listKeys());
      const isWanted = (key: ApiKeyView) => workspace === undefined || key.workspace?.workspaceId === workspace;
      printKeys(keys.filter(isWanted), options.json);
    });
}

function rotateCommand(env: Environment) {
  return connectedCommand("rotate")
    .description("Gives a key a new secret, which is the one thing on standard output, this once.")
    .argument("<id>", "the key", parseId)
    .option(
      "--overlap <duration>",
      "for how long the old secret goes on working: 30s, 90m, 12h, 7d at most",
      parseOverlap,
      0,
    )
    .action(async (apiKeyId, options) => {
      const which = { apiKeyId, overlapSeconds: options.overlap };
      printSecret(await withBackend(options, env, (backend) => backend.rotateKey(which)), options.json);
    });
}

function revokeCommand(env: Environment) {
  return connectedCommand("revoke")
    .description("Ends a key for good.")
    .argument("<id>", "the key", parseId)
    .option("--include-descendants", "end the keys that it made, too, and those that they made")
    .action(async (apiKeyId, options) => {
      const { includeDescendants = false } = options;
      const which = { apiKeyId, includeDescendants };
      printKeys(await withBackend(options, env, (backend) => backend.revokeKey(which)), options.json);
    });
}

/** The secret alone on standard output, so that a script can take it; what it is of goes where people read. */
function printSecret(made: KeyWithSecretView, json: true | undefined): void {
  if (json) return printJson(made);
  const { overlapUntil } = made.apiKey;
  const old = overlapUntil === null ? "" : `The old secret works until ${overlapUntil}. `;
  tell(`${showKeys([made.apiKey])}\n${old}The secret is shown this once:`);
  print(made.secret);
}

function printKeys(keys: readonly ApiKeyView[], json: true | undefined): void {
  if (json) printJson(keys);
  else print(showKeys(keys));
}

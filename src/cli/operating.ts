import { Command } from "@commander-js/extra-typings";
import { readConfig } from "../config.ts";
import type { Environment } from "./connection.ts";
import { print } from "./output.ts";

/** `migrate` and `log new-epoch`: commands of operators on the database, with the server's environment variables. */

export function migrateCommand(env: Environment) {
  return new Command("migrate")
    .description("Applies the migrations that the database lacks; for servers that run with MIGRATE=off.")
    .exitOverride()
    .action(async () => print(await migrate(env)));
}

export function logCommands(env: Environment) {
  const newEpoch = new Command("new-epoch")
    .description("Begins a new epoch of the event log: every cursor expires, and totals and quotas are counted anew.")
    .exitOverride()
    .argument("[reason]", "why, for people", "begun by hand")
    .action(async (reason) => print(await beginNewEpoch(env, reason)));
  return new Command("log").description("Changes the event log.").exitOverride().addCommand(newEpoch);
}

async function migrate(env: Environment): Promise<string> {
  const { database: location } = readConfig(env);
  if (location.kind !== "postgres") return "An embedded database is migrated when its server starts; nothing was done.";
  const { migratePostgres } = await import("../db/postgres.ts");
  const applied = await migratePostgres(location);
  return applied.length === 0 ? "The database lacks no migration." : `Applied: ${applied.join(", ")}.`;
}

async function beginNewEpoch(env: Environment, reason: string): Promise<string> {
  const { openDatabase } = await import("../db/open.ts");
  const { beginEpoch } = await import("../live/epoch.ts");
  const { readLogState } = await import("../log/read.ts");
  const { prisma, close } = await openDatabase(readConfig(env).database);
  try {
    const { epoch } = await readLogState(prisma);
    if (!(await beginEpoch(prisma, epoch, reason)))
      return "A server began a new epoch at this moment; this command did not.";
    return `The event log has the new epoch ${(await readLogState(prisma)).epoch}.`;
  } finally {
    await close();
  }
}

import { parseArgs } from "node:util";
import { readConfig } from "./config.ts";
import { openDatabase } from "./db/open.ts";
import { migratePostgres } from "./db/postgres.ts";
import { explain } from "./explain.ts";
import { beginEpoch } from "./live/epoch.ts";
import { readLogState } from "./log/read.ts";

/** Commands for operators: `npm run cli -- COMMAND`, with the server's environment variables (docs/operating.md). */

interface Command {
  readonly usage: string;
  readonly description: string;
  /** @returns what to print. @throws for what the operator must know. */
  readonly run: (args: readonly string[]) => Promise<string>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  migrate: {
    usage: "migrate",
    description: "Applies the migrations that the database lacks; for servers that run with MIGRATE=off.",
    run: migrateDatabase,
  },
  "log new-epoch": {
    usage: "log new-epoch REASON",
    description: "Begins a new epoch of the event log: every cursor expires, and totals and quotas are counted anew.",
    run: newEpoch,
  },
};

async function migrateDatabase(): Promise<string> {
  const { database: location } = readConfig(process.env);
  if (location.kind !== "postgres") return "An embedded database is migrated when its server starts; nothing was done.";
  const applied = await migratePostgres(location);
  return applied.length === 0 ? "The database lacks no migration." : `Applied: ${applied.join(", ")}.`;
}

async function newEpoch([reason = "begun by hand"]: readonly string[]): Promise<string> {
  const { database: location } = readConfig(process.env);
  const { prisma, close } = await openDatabase(location);
  try {
    const { epoch } = await readLogState(prisma);
    if (!(await beginEpoch(prisma, epoch, reason)))
      return "A server began a new epoch at this moment; this command did not.";
    return `The event log has the new epoch ${(await readLogState(prisma)).epoch}.`;
  } finally {
    await close();
  }
}

function usage(): string {
  const lines = Object.values(COMMANDS).map((command) => `  ${command.usage}\n      ${command.description}`);
  return `Usage: npm run cli -- COMMAND\n\n${lines.join("\n")}`;
}

try {
  const { positionals } = parseArgs({ allowPositionals: true });
  const [name, command] =
    Object.entries(COMMANDS).find(([words]) => `${positionals.join(" ")} `.startsWith(`${words} `)) ?? [];
  if (command) {
    process.stdout.write(`${await command.run(positionals.slice(name?.split(" ").length))}\n`);
  } else {
    process.stderr.write(`${usage()}\n`);
    process.exitCode = 2;
  }
} catch (error) {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = 1;
}

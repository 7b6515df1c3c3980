import { Command } from "@commander-js/extra-typings";
import type { Environment } from "./connection.ts";
import type { Finding } from "./doctor/finding.ts";
import { print, printJson } from "./output.ts";
import { type Color, table } from "./table.ts";

const COLORS: Readonly<Record<Finding["state"], Color>> = { ok: "green", warning: "yellow", failed: "red" };

/** `doctor`: whether a server could start with these environment variables, and what is amiss. It changes nothing. */
export function doctorCommand(env: Environment) {
  return new Command("doctor")
    .description(
      "Looks whether a server can run with this environment, and changes nothing; ends with 1 where it cannot.",
    )
    .exitOverride()
    .option("--json", "print JSON")
    .action(async ({ json }) => {
      // Imported on demand: it knows the database and the errors of the whole server.
      const findings = await (await import("./doctor/findings.ts")).diagnose(env);
      if (findings.some(({ state }) => state === "failed")) process.exitCode = 1;
      if (json) return printJson(findings);
      print(table([["CHECK", "", "WHAT IT FOUND"], ...findings.map(cellsOf)]));
    });
}

function cellsOf({ check, state, text }: Finding) {
  return [check, { text: state, color: COLORS[state] }, text.replaceAll(/\s*\n\s*/g, " ")];
}

import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

/**
 * The closed list of what may see all workspaces (section 11), by file. A line here is a decision: whatever is in such a file must
 * not hand out a row to whom it does not belong.
 */
const MAY_SEE_ALL = {
  "src/claims/claim.ts": ["claims"],
  "src/http/plugins/use-ready.ts": ["server"],
  "src/identity/may-be-open.ts": ["credentials"],
  "src/identity/principal.ts": ["deployment"],
  "src/identity/sessions.ts": ["credentials"],
  "src/identity/stored-credentials.ts": ["credentials"],
  "src/identity/workspaces.ts": ["deployment"],
  "src/jobs/bulk/shares.ts": ["bulk"],
  "src/live/epoch.ts": ["feed"],
  "src/live/lag.ts": ["feed"],
  // How many jobs of a kind wait, and for how long: numbers alone, of no workspace.
  "src/metrics/queue.ts": ["metrics"],
  "src/log/read-stops.ts": ["feed"],
  "src/log/read.ts": ["feed"],
  "src/output/delete-old.ts": ["recovery"],
  "src/review/user-input-timeout.ts": ["waits"],
  "src/runs/children.ts": ["waits"],
  "src/runs/record-progress.ts": ["waits"],
  "src/runs/lock.ts": ["reports"],
  "src/runs/recover.ts": ["recovery"],
  "src/start.ts": ["server"],
  "src/totals/aggregate.ts": ["totals"],
};

test("nothing but the closed list sees all workspaces", () => {
  const found = readdirSync("src", { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.includes("generated"))
    .map((name) => [`src/${name.replaceAll("\\", "/")}`, reasonsIn(readFileSync(`src/${name}`, "utf8"))] as const)
    .filter(([, reasons]) => reasons.length > 0);
  expect(Object.fromEntries(found)).toEqual(MAY_SEE_ALL);
});

function reasonsIn(source: string): string[] {
  const reasons = [...source.matchAll(/allWorkspaces\("(\w+)"\)/g)].map(([, reason = ""]) => reason);
  return [...new Set(reasons)].toSorted();
}

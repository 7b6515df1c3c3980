import { readdirSync, readFileSync } from "node:fs";
import type { Plugin } from "vitest/config";

/**
 * Builds of the server that lack one of the rings that keep a workspace's rows from another (section 11): the sweep runs in each of
 * them, and the others must keep every row back. Each is made of replacements in the source; one that finds nothing to replace any
 * more ends the run, or the sweep would prove nothing.
 */

interface Replacement {
  /** In which files, by the end of their path; in all where it is left out. */
  readonly file?: string;
  readonly from: RegExp;
  readonly to: string;
}

const SCRATCH_BUILDS = {
  /** The conditions of statements, and what compares the workspace of a row that was read with that of who asks. */
  conditions: [
    { from: /((?:\w+\.)?workspace_id = \$\{workspaceId\}::uuid)/g, to: "($1 OR true)" },
    { from: /((?:\w+\.)?workspace_id = requested_workspace_id)/g, to: "($1 OR true)" },
    { file: "runs/admission.ts", from: /workspaceId == null \|\| run\.workspaceId === workspaceId/, to: "true" },
    { file: "live/subscriber.ts", from: /event\.workspaceId !== scope\.workspaceId/, to: "false" },
    { file: "jobs/submit.ts", from: /where: \{ workspaceId, idempotencyKey \}/, to: "where: { idempotencyKey }" },
    { file: "quotas/quota.ts", from: /where: \{ workspaceId \}/, to: "where: {}" },
    { file: "identity/keys.ts", from: /by\.workspaceId === null \? \{\}/g, to: "true ? {}" },
    { file: "types/bulk-action.ts", from: /\(\{ id: uuidOrNil\(id\), workspaceId \}\)/, to: "({ id: uuidOrNil(id) })" },
    {
      file: "types/flight-recorder-event.ts",
      from: /\{ jobId_version: key, workspaceId: viewer\.workspaceId \}/,
      to: "{ jobId_version: key }",
    },
  ],
  /** What looks at each row before it is handed out: to those whose reads share a statement, and to subscribers. */
  delivery: [
    { file: "db/batched-read.ts", from: /idOf\(row\)\.workspaceId === id\.workspaceId/, to: "true" },
    {
      file: "subscriptions/job-changes.ts",
      from: /item\.event\.workspaceId === viewer\.workspaceId && /,
      to: "",
    },
  ],
  /** Row-level security. */
  database: [{ file: "db/scope.ts", from: /return `\{\$\{ids\.join\(\)\}\}`;/, to: "return ALL_WORKSPACES_SETTING;" }],
} satisfies Record<string, readonly Replacement[]>;

/** The name of such a build: what it lacks. */
export type ScratchBuild = keyof typeof SCRATCH_BUILDS;

export const SCRATCH_BUILD_NAMES: readonly ScratchBuild[] = ["conditions", "delivery", "database"];

/** @returns a plugin for the project whose tests run in this build. */
export function scratchBuild(name: ScratchBuild): Plugin {
  const replacements: readonly Replacement[] = SCRATCH_BUILDS[name];
  const isAbout = ({ file }: Replacement, path: string) => file === undefined || path.endsWith(file);
  return {
    name: `scratch-build-without-${name}`,
    enforce: "pre",
    buildStart() {
      const paths = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));
      for (const replacement of replacements) {
        const texts = paths
          .filter((path) => isAbout(replacement, path))
          .map((path) => readFileSync(`src/${path}`, "utf8"));
        if (texts.some((text) => text.search(replacement.from) >= 0)) continue;
        throw new Error(
          `Nothing in ${replacement.file ?? "src"} is ${replacement.from} any more: what took its place?`,
        );
      }
    },
    transform(code, id) {
      if (!id.includes("/src/")) return undefined;
      let changed = code;
      for (const replacement of replacements)
        if (isAbout(replacement, id)) changed = changed.replace(replacement.from, replacement.to);
      return changed === code ? undefined : { code: changed, map: null };
    },
  };
}

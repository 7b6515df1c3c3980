import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

/** The research agent as a process of its own, with those that it starts. */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Takes under 20 seconds by itself; a machine that is busy with other tests takes its time. */
export const RESEARCH_LIMIT_MS = 600_000;

export interface ResearchProcess {
  /** What it has printed so far. */
  readonly lines: readonly string[];
  /** Waits for a line that matches, and gives the match; rejected where the process ends without it. */
  line(pattern: RegExp): Promise<RegExpExecArray>;
  /** Ends it as Ctrl+C does. */
  interrupt(): void;
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>;
}

/** @param env beside PATH and HOME: an environment that names no model and no server but these. */
export function startResearch(
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): ResearchProcess {
  const child = spawn(process.execPath, ["--import", "tsx", "examples/research-agent/main.ts", ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  // Its workers end when nobody is there who started them.
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  let look = (): void => undefined;
  const hasLooked = () => {
    look();
    look = () => undefined;
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    hasLooked();
  });
  const stderr = text(child.stderr);
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const ended = exited.then(async (code) => ({ code, stderr: await stderr }));
  let isOver = false;
  const over = ended.finally(() => {
    isOver = true;
    hasLooked();
  });
  over.catch(() => undefined);
  const line = async (pattern: RegExp) => {
    for (;;) {
      const found = lines.map((each) => pattern.exec(each)).find((match) => match !== null);
      if (found) return found;
      if (isOver) throw new Error(`It ended without ${pattern}: ${lines.join("\n")}\n${await stderr}`);
      await new Promise<void>((resolve) => {
        look = resolve;
      });
    }
  };
  return { lines, line, interrupt: () => child.kill("SIGINT"), ended };
}

/** The numbers of a row of the usage table: calls, input, cached, output, reasoning, cost. */
export function usageRows(lines: readonly string[]): readonly { readonly job: string; readonly counts: number[] }[] {
  return lines.flatMap((line) => {
    const [, job = "", counts = ""] = /^(.{50}) {2}.{12}((?: +\d+){6})$/.exec(line) ?? [];
    return counts === "" ? [] : { job: job.trim(), counts: counts.trim().split(/ +/).map(Number) };
  });
}

/** Column by column. */
export function sumOf(rows: readonly (readonly number[])[]): number[] {
  return rows.reduce<number[]>((sums, row) => row.map((count, at) => count + (sums[at] ?? 0)), []);
}

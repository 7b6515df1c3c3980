import { spawnSync } from "node:child_process";

const WITH_KIT = "import sys; sys.exit(sys.version_info < (3, 10))";

/**
 * Looks for the Python that runs workers.
 * @returns its program; null where there is none.
 * @throws Error where there is none, in CI.
 */
export function findPython(): string | null {
  const program = process.env.TEST_PYTHON ?? "python3";
  if (spawnSync(program, ["-c", WITH_KIT]).status === 0) return program;
  if (process.env.CI !== undefined) throw new Error(`${program} is no Python 3.10 or later: set TEST_PYTHON.`);
  process.stdout.write(`${program} is no Python 3.10 or later: the workers with the kit for Python are left out.\n`);
  return null;
}

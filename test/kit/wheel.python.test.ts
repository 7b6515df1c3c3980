import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { filesBelow } from "../support/documents.ts";
import { killSpawned } from "../support/spawn-server.ts";
import { JOB, startKitServer } from "./server.ts";

/** The kit for Python as a stranger gets it: a wheel, installed into an empty project that has nothing of this repository. */

const run = promisify(execFile);
const KIT = fileURLToPath(new URL("../../clients/python", import.meta.url));
const PYTHON = process.env.TEST_PYTHON ?? "python3";
/** Without PYTHONPATH, with no settings of the user's: what is imported is what was installed. */
const ENVIRONMENT = { PATH: process.env.PATH, PIP_CONFIG_FILE: "/dev/null", PIP_DISABLE_PIP_VERSION_CHECK: "1" };
const LONG = { timeout: 300_000 };

/**
 * What pip needs to make a wheel without asking anybody for it; setuptools has brought bdist_wheel itself since 70.1. It comes first: Debian's
 * refuses to follow a pip that has loaded Python's own distutils.
 */
const MAKES_WHEELS = `
import setuptools
try:
    import setuptools.command.bdist_wheel
except ImportError:
    import wheel.bdist_wheel
import pip
`;

/**
 * Looks for a Python that can make the wheel: that of the tests, or else Debian's, whose packages are installed by name. The wheel is tried with
 * that of the tests, which must be able to make a project.
 * @throws Error where there is none, in CI.
 */
function findBuilder(): string | null {
  const can = (program: string, code: string) => spawnSync(program, ["-c", code], { env: ENVIRONMENT }).status === 0;
  const found = [PYTHON, "/usr/bin/python3"].find((program) => can(program, MAKES_WHEELS));
  if (found !== undefined && can(PYTHON, "import ensurepip")) return found;
  const lacks = "Python lacks what packs a wheel (pip, setuptools, wheel) or makes a project (venv)";
  if (process.env.CI !== undefined)
    throw new Error(`${lacks}: install python3-pip, python3-setuptools, python3-wheel and python3-venv.`);
  process.stdout.write(`${lacks}: the test of the kit's wheel is left out.\n`);
  return null;
}

/** Prints what a stranger's program can import, what he was given, and from where. */
const IMPORTS = `
import json
from importlib.metadata import files, version
from importlib.resources import files as resources
import ai_job_server
print(json.dumps({
    "lacks": [name for name in ai_job_server.__all__ if not hasattr(ai_job_server, name)],
    "names": ai_job_server.__all__,
    "isTyped": resources("ai_job_server").joinpath("py.typed").is_file(),
    "version": version("ai-job-server"),
    "files": sorted(str(file) for file in files("ai-job-server") if "dist-info" not in str(file) and "__pycache__" not in str(file)),
    "from": ai_job_server.__file__,
}))
`;
const imports = z.object({
  lacks: z.array(z.string()),
  names: z.array(z.string()),
  isTyped: z.boolean(),
  version: z.string(),
  files: z.array(z.string()),
  from: z.string(),
});

/** Its leases are kept by a process of its own, which must find the installed kit, too. */
const WORKER = `
import sys
from ai_job_server import Worker

worker = Worker(sys.argv[1], isolate=True)

@worker.handle("DOC_SUMMARIZE")
def summarise(job, ctx):
    return {"outputs": ctx.step("draft", lambda _step: {"summary": job["inputs"]["text"][:3]})}

worker.run()
`;

const builder = findBuilder();

describe.skipIf(builder === null)("the kit, packed into a wheel and installed into an empty project", () => {
  let folder: string;
  let project: string;
  let python: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ai-job-server-wheel-"));
    // A copy, because setuptools leaves what it makes beside the sources.
    const sources = join(folder, "sources");
    await cp(KIT, sources, { recursive: true, filter: (path) => !/__pycache__|\.egg-info|[/\\]build$/.test(path) });
    const wheel = ["wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", folder, sources];
    await run(builder ?? PYTHON, ["-m", "pip", ...wheel], { env: ENVIRONMENT });
    const [file = "no wheel"] = (await readdir(folder)).filter((name) => name.endsWith(".whl"));
    // Gone, so that nothing can be found in it.
    await rm(sources, { recursive: true });
    project = join(folder, "project");
    await mkdir(project);
    await run(PYTHON, ["-m", "venv", ".venv"], { cwd: project, env: ENVIRONMENT });
    python = join(project, ".venv/bin/python");
    const install = ["-m", "pip", "install", "--no-index", join(folder, file)];
    await run(python, install, { cwd: project, env: ENVIRONMENT });
  }, LONG.timeout);
  afterAll(async () => {
    await killSpawned();
    await rm(folder, { recursive: true, force: true });
  });

  test("has every module and its types, under the version of the project", LONG, async () => {
    const { stdout } = await run(python, ["-c", IMPORTS], { cwd: project, env: ENVIRONMENT });
    const found = imports.parse(JSON.parse(stdout));
    const [, version] = /^version = "(.+)"$/m.exec(await readFile(join(KIT, "pyproject.toml"), "utf8")) ?? [];
    const sources = filesBelow("clients/python/src", "").map((path) => path.replace("clients/python/src/", ""));
    expect(found).toMatchObject({ lacks: [], isTyped: true, version });
    expect(found.names).toEqual(expect.arrayContaining(["Client", "Worker", "usage_of"]));
    expect(found.files).toEqual(sources.filter((path) => /\.py$|\/py\.typed$/.test(path)).toSorted());
    expect(found.from).toContain(project);
  });

  test("does a job of a real server, and ends well when it is told to", LONG, async () => {
    const { url, client } = await startKitServer();
    const worker = spawn(python, ["-c", WORKER, url], {
      cwd: project,
      env: ENVIRONMENT,
      stdio: ["ignore", "inherit", "inherit"],
    });
    const exited = once(worker, "exit");
    const job = await client.submitAndWait({ ...JOB, jobInputs: { text: "Minutes" } });
    expect(job).toMatchObject({ state: "COMPLETED", jobOutputs: { summary: "Min" } });
    worker.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  });
});

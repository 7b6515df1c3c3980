import { execFile } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { z } from "zod";
import { filesBelow, readText, sectionOf } from "./support/documents.ts";

/** What `npm ci --omit=dev` installs is what the server needs. package-lock.json says what that is. */

const lock = z
  .looseObject({
    packages: z.record(
      z.string(),
      z.looseObject({
        license: z.string().optional(),
        dev: z.boolean().default(false),
        link: z.boolean().default(false),
        devOptional: z.boolean().default(false),
        os: z.array(z.string()).default(["linux"]),
        cpu: z.array(z.string()).default(["x64"]),
        libc: z.array(z.string()).default(["glibc"]),
      }),
    ),
  })
  .parse(JSON.parse(readText("package-lock.json")));
const manifest = z
  .looseObject({ version: z.string(), dependencies: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readText("package.json")));
const { "": root, ...installed } = lock.packages;
/** Each with its path: npm leaves out nothing but what is only for development. The kit lies beside the server, and is packed with it. */
const production = Object.entries(installed).filter(
  ([path, { dev, link }]) => !dev && !link && path.startsWith("node_modules/"),
);
const nameOf = (path: string) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);

test("no package comes because development has it and another one would use it", () => {
  expect(production.filter(([, { devOptional }]) => devOptional).map(([path]) => nameOf(path))).toEqual([]);
});

test("no tool of development is there: Prisma's command line with its studio and engines, the compiler", () => {
  const tools = /^(prisma|typescript|vitest|elkjs|@prisma\/(config|dev|engines|fetch-engine|internals|studio-core))$/;
  const names = (paths: readonly string[]) => paths.map(nameOf).filter((name) => tools.test(name));
  expect(names(Object.keys(installed))).toContain("@prisma/studio-core");
  expect(names(production.map(([path]) => path))).toEqual([]);
});

test("the server imports what is a dependency, and nothing else", () => {
  const sources = filesBelow("src", ".ts").map(readText).join("\n");
  const imported = [...sources.matchAll(/^(?:import|export) (?!type )[^;"]* from "((?:@[^/"]+\/)?[^./":]+)[/"]/gm)];
  const dependencies = Object.keys(manifest.dependencies);
  expect(imported.map(([, name = ""]) => name).filter((name) => !dependencies.includes(name))).toEqual([]);
  // The schema validator asks for its browser as a peer, and the generated database client imports Prisma's.
  const others = dependencies.filter((name) => !sources.includes(`"${name}"`) && !sources.includes(`"${name}/`));
  expect(others).toEqual(["@hyperjump/browser", "@prisma/client"]);
});

test("every licence is permissive", () => {
  const permissive = ["0BSD", "Apache-2.0", "BSD-2-Clause", "BlueOak-1.0.0", "ISC", "MIT"];
  expect(new Set(production.map(([, { license }]) => license))).toEqual(new Set(permissive));
});

test("npm finds nothing missing and no version wrong in it, peers included", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ai-job-server-packages-"));
  try {
    // The kit comes in the server's own package.
    const { "@ai-job-server/sdk": kit, ...dependencies } = manifest.dependencies;
    const bare = { dependencies, devDependencies: {}, workspaces: [], bundleDependencies: [] };
    expect(kit).toBe(manifest.version);
    const packages = { "": { ...root, ...bare }, ...Object.fromEntries(production) };
    await writeFile(join(folder, "package.json"), JSON.stringify({ ...manifest, ...bare }));
    await writeFile(join(folder, "package-lock.json"), JSON.stringify({ ...lock, packages }));
    const list = ["ls", "--all", "--package-lock-only", "--legacy-peer-deps=false"];
    await promisify(execFile)("npm", list, { cwd: folder });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("docs/operating.md says how many packages that is, and how large", () => {
  const text = sectionOf(readText("docs/operating.md"), "## Installing it for production");
  const [, packages, megabytes] = /(\d+) packages, (\d+) MB/.exec(text) ?? [];
  const onLinux = production.filter(
    ([, { os, cpu, libc }]) => os.includes("linux") && cpu.includes("x64") && libc.includes("glibc"),
  );
  expect(Number(packages)).toBe(onLinux.length);
  // What is for another system than this one is not there.
  const bytes = onLinux.reduce(
    (sum, [path]) => sum + bytesOf(fileURLToPath(new URL(`../${path}`, import.meta.url))),
    0,
  );
  expect(Math.abs(bytes / 2 ** 20 / Number(megabytes) - 1)).toBeLessThan(0.1);
});

/** As a disk holds it, in blocks; without the packages inside it, which the lock file lists by themselves. */
function bytesOf(folder: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((file) => !file.slice(folder.length).includes("node_modules"))
    .reduce((sum, file) => sum + Math.ceil(statSync(file).size / 4096) * 4096, 0);
}

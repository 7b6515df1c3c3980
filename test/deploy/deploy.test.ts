import { type ExecFileException, execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { registerSchema, validate } from "@hyperjump/json-schema/draft-07";
import { DockerfileParser, From } from "dockerfile-ast";
import { validate as lint } from "dockerfile-utils";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { readConfig } from "../../src/config.ts";
import { openTestDatabase } from "../support/database.ts";
import { blocksOf, codesIn, readText, rowsOf, sectionOf } from "../support/documents.ts";
import { startTestServer } from "../support/server.ts";

/** What operators are given to run the server with: the Dockerfile, the Compose file and the unit of systemd. */

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** docs/configuration.md has every variable that the settings read, and no other: test/docs/operating.test.ts. */
const VARIABLES = new Set(
  rowsOf(sectionOf(readText("docs/configuration.md"), "## The server")).flatMap(([cell = ""]) => codesIn(cell)),
);
const SECRET = /KEY|SECRET|PASSWORD|TOKEN/;
const { version } = z.object({ version: z.string() }).parse(JSON.parse(readText("package.json")));
const strings = z.array(z.string());
const run = promisify(execFile);

/** A process' exit code: 0 where it went well. */
const exitOf = (file: string, of: readonly string[], env: Readonly<Record<string, string | undefined>> = {}) =>
  new Promise<unknown>((resolve) => {
    execFile(file, of, { env: { ...process.env, ...env } }, (error: ExecFileException | null) =>
      resolve(error === null ? 0 : error.code),
    );
  });

// The Dockerfile.

const DOCKERFILE = readText("Dockerfile");
const instructions = DockerfileParser.parse(DOCKERFILE).getInstructions();
/** What stands behind an instruction's keyword, flags included. */
const textOf = (each: (typeof instructions)[number]) => {
  const { start, end } = each.getRange();
  const lines = DOCKERFILE.split("\n").slice(start.line, end.line + 1);
  return lines.join("\n").slice(each.getKeyword().length).trim();
};
const froms = instructions.filter((each) => each instanceof From);
/** The instructions of a stage, in their order, each with its text. */
const stageOf = (from: From | undefined) => {
  const first = from ? instructions.indexOf(from) : instructions.length;
  const after = instructions.findIndex((each, at) => at > first && each instanceof From);
  return instructions
    .slice(first, after === -1 ? undefined : after)
    .map((each) => ({ keyword: each.getKeyword(), text: textOf(each) }));
};
const textsOf = (keyword: string, stage = stageOf(froms.at(-1))) =>
  stage.filter((each) => each.keyword === keyword).map(({ text }) => text);
const COPY = /^(?:--from=(\S+) )?(.+) (\S+)$/;
/** What is copied from the repository into a stage, each with where it goes. */
const copiesInto = (stage: ReturnType<typeof stageOf>) =>
  textsOf("COPY", stage).flatMap((text) => {
    const [, from, sources = "", to = ""] = COPY.exec(text) ?? [];
    return from === undefined ? sources.split(" ").map((source) => ({ source, to })) : [];
  });
const pairsIn = (text: string) =>
  [...text.matchAll(/(\w+)=(\S+)/g)].map(([, name = "", value = ""]) => ({ name, value }));
const ofImage = Object.fromEntries(
  textsOf("ENV")
    .flatMap(pairsIn)
    .map(({ name, value }) => [name, value]),
);

test("the Dockerfile is one that Docker builds, without a warning", () => {
  expect(lint(DOCKERFILE).map(({ message, range }) => [range.start.line + 1, message])).toEqual([]);
});

test("each stage begins with an image of a named version, or with an earlier stage", () => {
  const stages = froms.map((from) => from.getBuildStage());
  expect(froms.length).toBeGreaterThan(1);
  const images = froms.map((from) => from.getImage() ?? "").filter((image) => !stages.includes(image));
  expect(images.filter((image) => !/^[a-z0-9./-]+:\d[\w.-]*$/.test(image))).toEqual([]);
  const from = instructions.flatMap((each) => COPY.exec(textOf(each))?.[1] ?? []);
  expect(from.length).toBeGreaterThan(0);
  expect(from.filter((stage) => !stages.includes(stage))).toEqual([]);
});

test("nothing is added from an address, and no secret stands in the image", () => {
  const keywords = instructions.map((each) => each.getKeyword());
  expect(keywords).not.toContain("ADD");
  const set = instructions.filter((each) => ["ENV", "ARG"].includes(each.getKeyword())).map(textOf);
  expect(set.length).toBeGreaterThan(0);
  expect(set.filter((text) => SECRET.test(text) || /:\/\/[^/\s]*@/.test(text))).toEqual([]);
});

test("the image runs the server as node, whose port and folder are the ones that it names", () => {
  expect(textsOf("USER")).toEqual(["node"]);
  expect(textsOf("EXPOSE")).toEqual(["4000"]);
  expect(textsOf("VOLUME")).toEqual(["/data"]);
  expect(textsOf("ENTRYPOINT")).toEqual([]);
  expect(Object.keys(ofImage).filter((name) => !VARIABLES.has(name))).toEqual([]);
  const config = readConfig(ofImage);
  expect(config).toMatchObject({ auth: "required", host: "0.0.0.0", port: 4000 });
  expect(config.database).toEqual({ kind: "folder", path: expect.stringMatching(/^\/data\//) });
});

/** Whether a line of .dockerignore matches a path or a folder above it. */
const isIgnored = (path: string) =>
  ignored.some((pattern) => {
    const parts = pattern.split("**/").map((part) => part.replaceAll(".", "\\.").replaceAll("*", "[^/]*"));
    return new RegExp(`^${parts.join("(?:.*/)?")}(?:/|$)`).test(path);
  });
const ignored = readText(".dockerignore")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));

test("every path that the Dockerfile copies is there, and .dockerignore lets it by", () => {
  const paths = froms.flatMap((from) => copiesInto(stageOf(from)).map(({ source }) => source));
  expect(paths.length).toBeGreaterThan(5);
  expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  expect(paths.filter(isIgnored)).toEqual([]);
});

test(".dockerignore keeps back what a machine has for itself, and what is built anew", () => {
  const kept = [".git", ".env", "deploy/.env", "clients/.env.local", "data", "server.log", "node_modules", "dist"];
  const inKits = ["clients/typescript/node_modules", "clients/typescript/dist", "clients/python/src/a.egg-info"];
  expect([...kept, ...inKits].filter((path) => !isIgnored(path))).toEqual([]);
});

test("what the build stage copies is enough to build the server, and to pack what it needs", {
  timeout: 300_000,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), "ai-job-server-image-"));
  try {
    const stage = stageOf(froms[0]);
    for (const { source, to } of copiesInto(stage)) {
      const target = to.endsWith("/") ? join(folder, to, source.slice(source.lastIndexOf("/") + 1)) : join(folder, to);
      await cp(join(ROOT, source), target, {
        recursive: true,
        filter: (path) => path === join(ROOT, source) || !isIgnored(path.slice(ROOT.length)),
      });
    }
    await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
    const [install, build = "", ...others] = textsOf("RUN", stage);
    expect([install, others]).toEqual(["npm ci --ignore-scripts", []]);
    const { stdout } = await run("sh", ["-ec", `(${build} --dry-run --json) | tee log`], { cwd: folder });
    const packed = [...stdout.matchAll(/"path": "([^"]+)"/g)].map(([, path]) => path);
    expect(packed).toEqual(expect.arrayContaining(["dist/cli/main.js", "prisma/schema.prisma", "package.json"]));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("its health check passes while the server is ready, and at no other time", async () => {
  const [text = ""] = textsOf("HEALTHCHECK");
  const [program = "", ...rest] = strings.parse(JSON.parse(text.slice(text.indexOf("CMD ") + 4)));
  const database = await openTestDatabase();
  const server = await startTestServer(database);
  const { port } = new URL(server.url);
  const check = () => exitOf(program, rest, { PORT: port });
  try {
    expect(await check()).toBe(0);
    server.http.prependListener("request", (request) => {
      if (request.url === "/ready") request.url = "/no-such-path";
    });
    expect(await check()).toBe(1);
  } finally {
    await server.close();
    await database.close();
  }
  expect(await check()).toBe(1);
});

// The Compose file.

/**
 * The schema of the Compose Specification, https://github.com/compose-spec/compose-spec, schema/compose-spec.json (Apache-2.0), as the npm
 * package dclint 3.1.0 has it, formatted anew.
 */
const COMPOSE_SCHEMA = z.json().parse(JSON.parse(readText("test/deploy/compose-spec.json")));
const COMPOSE_TEXT = readText("deploy/compose.yaml");
/** `${NAME:?why}`, `${NAME:-default}` and the like. */
const references = [...COMPOSE_TEXT.matchAll(/\$\{(\w+)(?::([?-])([^}]*))?\}/g)].map(
  ([whole, name = "", sort = "", rest = ""]) => ({ whole, name, sort, rest }),
);
const required = new Set(references.filter(({ sort }) => sort === "?").map(({ name }) => name));
/** The file as Compose sees it where only what must be set is set: it fills the texts of what it has parsed. */
const filled = references.reduce(
  (text, { whole, sort, rest }) => text.replaceAll(whole, () => (sort === "?" ? "a1b2c3" : rest)),
  JSON.stringify(parse(COMPOSE_TEXT, { merge: true })),
);
const composed = z.json().parse(JSON.parse(filled));
const service = z.looseObject({
  image: z.string(),
  environment: z.record(z.string(), z.string()).default({}),
  networks: strings.default([]),
  volumes: strings.default([]),
  ports: strings.default([]),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  stop_grace_period: z.string().default("10s"),
});
const compose = z
  .object({
    services: z.record(z.string(), service),
    networks: z.record(z.string(), z.unknown()),
    volumes: z.record(z.string(), z.unknown()),
  })
  .parse(composed);
const services = Object.entries(compose.services);
const servers = services.filter(([, { image }]) => image.startsWith("ai-job-server"));

test("the Compose file is one by the Compose Specification", async () => {
  const schema = z.record(z.string(), z.json()).parse(COMPOSE_SCHEMA);
  // The validator knows the draft by its own address alone, and an address of a schema must be a whole one.
  const { $schema, $id, ...rest } = schema;
  expect([$schema, $id]).toEqual(["https://json-schema.org/draft-07/schema", "compose_spec.json"]);
  const uri = "https://ai-job-server.test/compose-spec.json";
  registerSchema(rest, uri, "http://json-schema.org/draft-07/schema#");
  const check = await validate(uri);
  const faults = (value: typeof composed) => {
    const result = check(value, "BASIC");
    return result.valid ? [] : (result.errors ?? []).map(({ instanceLocation }) => instanceLocation);
  };
  expect(faults(composed)).toEqual([]);
  // What the schema does not know is found.
  expect(faults({ services: { a: { image: "a", read_onyl: true } } })).not.toEqual([]);
});

test("what its services name is there: services, networks, volumes", () => {
  const named = services.flatMap(([, each]) => [
    ...Object.keys(each.depends_on).filter((name) => !(name in compose.services)),
    ...each.networks.filter((name) => name !== "default" && !(name in compose.networks)),
    ...each.volumes.filter((volume) => !((volume.split(":")[0] ?? "") in compose.volumes)),
  ]);
  expect(services.map(([, { depends_on }]) => Object.keys(depends_on).length)).toContain(2);
  expect(named).toEqual([]);
});

test.each(services)("%s can change nothing but its data, gains no privilege, and has bounds", (_, each) => {
  expect(each).toMatchObject({
    read_only: true,
    cap_drop: ["ALL"],
    security_opt: ["no-new-privileges:true"],
    mem_limit: expect.stringMatching(/^\d+[mg]$/),
    restart: expect.stringMatching(/^(unless-stopped|no)$/),
    image: expect.stringMatching(/:\d/),
  });
  expect(Object.keys(each)).not.toEqual(expect.arrayContaining(["cap_add"]));
  expect(each).not.toHaveProperty("privileged");
});

test("every password must be given, with a word on what it is, and no key stands in the file", () => {
  expect(references.length).toBeGreaterThan(3);
  expect(references.filter(({ sort, rest }) => sort === "?" && rest.length < 20)).toEqual([]);
  const secrets = references.filter(({ name }) => SECRET.test(name));
  expect(secrets.map(({ name }) => name)).toEqual(expect.arrayContaining(["POSTGRES_PASSWORD", "OPERATOR_KEY"]));
  expect(secrets.filter(({ name, sort }) => name.endsWith("PASSWORD") && sort !== "?")).toEqual([]);
  expect(secrets.filter(({ sort, rest }) => sort === "-" && rest !== "")).toEqual([]);
  // Whatever is set of such a name comes from outside.
  const own = [...COMPOSE_TEXT.matchAll(/^ +(\w+): (.*)$/gm)].filter(([, name = ""]) => SECRET.test(name));
  expect(own.length).toBeGreaterThan(2);
  expect(own.filter(([, , value = ""]) => !value.startsWith("${")).map(([line]) => line)).toEqual([]);
  expect(COMPOSE_TEXT).not.toMatch(/:\/\/[^/\s$]*:[^/\s$]*@/);
});

test("its servers start with what it sets, ask everybody who they are, and one of them alone migrates", () => {
  expect(servers.map(([name]) => name)).toEqual(["server-1", "server-2"]);
  const configs = servers.map(([, { environment }]) => readConfig({ ...ofImage, ...environment }));
  for (const [, { image, environment, ports, stop_grace_period }] of servers) {
    expect(Object.keys(environment).filter((name) => !VARIABLES.has(name))).toEqual([]);
    expect(image).toBe(`ai-job-server:${version}`);
    expect(ports).toEqual([expect.stringMatching(/^127\.0\.0\.1:\d+:4000$/)]);
    // The server ends within 10 seconds.
    expect(Number.parseInt(stop_grace_period, 10)).toBeGreaterThan(10);
  }
  for (const { auth, host, database, redisUrl } of configs) {
    expect({ auth, host, redisUrl }).toEqual({ auth: "required", host: "0.0.0.0", redisUrl: "redis://redis:6379" });
    expect(database).toMatchObject({ kind: "postgres", url: expect.stringContaining("jobs_server:a1b2c3@postgres:") });
  }
  expect(configs.map(({ database }) => "migrateUrl" in database)).toEqual([true, false]);
  expect(configs.map(({ database }) => database.kind === "postgres" && database.migrates)).toEqual([true, false]);
  expect(compose.services["server-2"]?.depends_on).toEqual({ "server-1": { condition: "service_healthy" } });
});

// The unit of systemd.

const UNIT = readText("deploy/ai-job-server.service");
const settings = [...UNIT.matchAll(/^(\w+)=(.*)$/gm)].map(([, name = "", value = ""]) => ({ name, value }));
const valuesOf = (name: string) => settings.filter((each) => each.name === name).map(({ value }) => value);
const ofUnit = Object.fromEntries(
  valuesOf("Environment")
    .flatMap(pairsIn)
    .map(({ name, value }) => [name, value]),
);

test("the unit starts the server as the image does, and waits for its end", () => {
  const [, ...rest] = strings.parse(JSON.parse(textsOf("CMD")[0] ?? ""));
  const [command = ""] = valuesOf("ExecStart");
  expect(command.replace("/opt/ai-job-server/", "")).toBe(["/usr/bin/node", ...rest].join(" "));
  expect(Number(valuesOf("TimeoutStopSec")[0])).toBeGreaterThan(10);
  expect(valuesOf("EnvironmentFile")).toEqual(["/etc/ai-job-server/env"]);
});

test("the unit sets what the server reads, in the folder that it may write to", () => {
  expect(Object.keys(ofUnit).filter((name) => !VARIABLES.has(name) || SECRET.test(name))).toEqual([]);
  const { auth, database } = readConfig(ofUnit);
  expect(auth).toBe("required");
  expect(database).toEqual({
    kind: "folder",
    path: expect.stringMatching(new RegExp(`^/var/lib/${valuesOf("StateDirectory")[0]}/.`)),
  });
});

/** Runs systemd-analyze on the unit, with programs that are there; skipped where systemd is not, except in CI. */
async function analyze(skip: (condition: boolean, note: string) => void, ...of: readonly string[]) {
  const isMissing = (await exitOf("systemd-analyze", ["--version"])) === "ENOENT";
  skip(isMissing && process.env.CI === undefined, "systemd-analyze is not installed");
  const folder = await mkdtemp(join(tmpdir(), "ai-job-server-unit-"));
  const file = join(folder, "ai-job-server.service");
  try {
    await writeFile(file, UNIT.replaceAll("/usr/bin/node", process.execPath));
    return await run("systemd-analyze", [...of, file]).then(
      ({ stdout, stderr }) => ({ failed: false, stdout, stderr }),
      (error: unknown) => ({ failed: true, ...z.object({ stdout: z.string(), stderr: z.string() }).parse(error) }),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("systemd knows every setting of the unit", async ({ skip }) => {
  const { failed, stderr } = await analyze(skip, "verify", "--recursive-errors=no");
  // It also warns of other units of this machine, which this one names.
  expect(stderr.split("\n").filter((line) => line.includes("ai-job-server"))).toEqual([]);
  expect(failed).toBe(false);
});

test("systemd finds the unit as little exposed as it can be", async ({ skip }) => {
  // 100 is a service that may do everything. What is left: the network, a compiler at work, the machine's root directory.
  const { failed, stdout } = await analyze(skip, "security", "--offline=true", "--threshold=11", "--no-pager");
  expect(stdout).toContain("Overall exposure level");
  expect({ failed, stdout }).toMatchObject({ failed: false });
});

// The document that tells of them.

test("docs/deploying.md sets every variable that the Compose file needs, and what it sets the server reads", () => {
  const blocks = blocksOf(readText("docs/deploying.md")).filter(({ info }) => info === "ini");
  expect(blocks).toHaveLength(2);
  const [ofCompose = {}, ofService = {}] = blocks.map(({ text }) =>
    Object.fromEntries(pairsIn(text).map(({ name, value }) => [name, value])),
  );
  expect([...required].filter((name) => !(name in ofCompose))).toEqual([]);
  expect(Object.keys(ofCompose).filter((name) => !references.some((each) => each.name === name))).toEqual([]);
  expect(Object.keys(ofService).filter((name) => !VARIABLES.has(name))).toEqual([]);
  expect(readConfig({ ...ofUnit, ...ofService })).toMatchObject({ auth: "required", host: "127.0.0.1" });
});

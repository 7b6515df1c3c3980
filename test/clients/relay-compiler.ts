import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { GraphQLTaggedNode } from "relay-runtime";

/** A project of its own, with Relay's compiler. */
export interface RelayProject extends AsyncDisposable {
  /** What the compiler made of an operation or a fragment, which Relay's runtime runs. */
  artifact(name: string): GraphQLTaggedNode;
}

const require = createRequire(import.meta.url);

/**
 * Compiles documents against a schema: a folder with the SDL that the server gives, and a module with the documents in tags.
 * @throws Error with what the compiler says, where it refuses one of them.
 */
export async function compileForRelay(sdl: string, documents: readonly string[]): Promise<RelayProject> {
  const folder = await mkdtemp(join(tmpdir(), "relay-"));
  const artifacts = join(folder, "artifacts");
  await mkdir(artifacts);
  await writeFile(join(folder, "schema.graphql"), sdl);
  await writeFile(join(folder, "Relay.js"), documents.map((text) => `graphql\`${text}\`;`).join("\n"));
  const config = { src: ".", schema: "schema.graphql", artifactDirectory: "artifacts" };
  const format = { language: "javascript", eagerEsModules: false };
  await writeFile(join(folder, "relay.config.json"), JSON.stringify({ ...config, ...format }));
  const compiler = require.resolve("relay-compiler/cli.js");
  await promisify(execFile)(process.execPath, [compiler, "relay.config.json"], { cwd: folder });
  return {
    artifact: (name) => {
      const node: unknown = require(join(artifacts, `${name}.graphql.js`));
      if (!isArtifact(node)) throw new Error(`The compiler made nothing of ${name}.`);
      return node;
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

function isArtifact(node: unknown): node is GraphQLTaggedNode {
  return typeof node === "object" && node !== null && "kind" in node;
}

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { blocksOf, readText } from "../support/documents.ts";
import { endGroup, freePort } from "../support/shells.ts";

/** Follows a quick start as a newcomer does: its files as they stand, its commands in a shell, in a folder beside the clone. */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** By which way npm gets packages here. */
const OF_NETWORK =
  /^(npm_config_(registry|userconfig|globalconfig|cafile|cache|proxy|https_proxy|noproxy)|(https?|no)_proxy|node_extra_ca_certs)$/i;
const ofNetwork = Object.fromEntries(Object.entries(process.env).filter(([name]) => OF_NETWORK.test(name)));

/** Less than a test has. */
const MAX_MS = 280_000;

/** What the commands left behind. */
export interface Followed {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface FollowOptions {
  /** The port of the page, where the quick start has one. */
  readonly pagePort?: number;
  /** Done when the commands are, while what they started still runs. */
  readonly whileRunning?: () => Promise<void>;
}

/**
 * Follows docs/quick-start/NAME.md. Only what would disturb others is changed: the ports, the clone's packages, which are there, and where its
 * server keeps its data.
 */
export async function follow(name: string, { pagePort = 0, whileRunning }: FollowOptions = {}): Promise<Followed> {
  const folder = await mkdtemp(join(tmpdir(), "ai-job-server-quick-start-"));
  const port = await freePort();
  const here = (commands: string) =>
    commands
      .replaceAll("npm ci && ", "")
      .replaceAll(":4000", `:${port}`)
      .replaceAll(":8000", `:${pagePort}`)
      // By a link to the clone, npm would not find the kit that it is to pack with the server.
      .replaceAll("npm pack ../ai-job-server ", `npm pack ${ROOT} `);
  const started: (number | undefined)[] = [];
  const shell = (commands: string, cwd: string, env: Readonly<Record<string, string>> = {}) => {
    const { PATH, HOME } = process.env;
    const AI_JOB_SERVER_URL = `http://127.0.0.1:${port}/graphql`;
    // Scripts of packages would build the clone anew, under the feet of other tests.
    const npm = { npm_config_ignore_scripts: "true", npm_config_prefer_offline: "true", npm_config_audit: "false" };
    const child = spawn("bash", ["-euo", "pipefail", "-c", here(commands)], {
      cwd,
      env: { ...ofNetwork, PATH, HOME, PORT: String(port), AI_JOB_SERVER_URL, ...npm, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      // A process group of its own, by which everything that it starts is ended.
      detached: true,
    });
    started.push(child.pid);
    // What gets no further is ended before the test's own time is up, and with it whatever it has started.
    setTimeout(() => endGroup(child.pid), MAX_MS).unref();
    return child;
  };
  try {
    await symlink(ROOT, join(folder, "ai-job-server"));
    const blocks = blocksOf(readText(`docs/quick-start/${name}.md`));
    for (const { info, text: content } of blocks) {
      const [, file] = info.split(" ");
      if (file?.includes("/")) await writeAt(join(folder, file), here(content));
    }
    const server = blocks.find(({ info }) => info === "sh server");
    if (server) await untilReady(shell(server.text, ROOT, { DATABASE_URL: "memory:" }), port);
    // The files stand in their folder already.
    const commands = blocks
      .filter(({ info }) => info === "sh")
      .map((block) => block.text.replace("mkdir ", "mkdir -p "));
    const child = shell(commands.join("\n"), folder);
    const [stdout, stderr, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      exitOf(child, whileRunning),
    ]);
    return { code, stdout, stderr };
  } finally {
    for (const pid of started) endGroup(pid);
    await rm(folder, { recursive: true, force: true });
  }
}

async function writeAt(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

/** What commands leave running holds their output open: it is ended once the commands are done. */
async function exitOf(
  child: ReturnType<typeof spawn>,
  whileRunning: FollowOptions["whileRunning"],
): Promise<number | null> {
  const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  await whileRunning?.();
  endGroup(child.pid);
  return code;
}

async function untilReady(server: ReturnType<typeof spawn>, port: number): Promise<void> {
  server.stdout?.resume();
  server.stderr?.resume();
  for (;;) {
    if (server.exitCode !== null || server.signalCode !== null)
      throw new Error(`The server ended with ${server.exitCode}.`);
    const answer = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

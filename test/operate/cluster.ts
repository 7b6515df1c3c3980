import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmod, chown, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";

/** PostgreSQL servers and poolers of a test's own, to break as an operator's break: killed, promoted, copied, restored. */

const run = promisify(execFile);
/** Neither `initdb` nor `pgbouncer` runs as root; Debian's user for PostgreSQL stands in. */
const isRoot = process.getuid?.() === 0;

function asUser(program: string, args: readonly string[]): readonly [string, string[]] {
  return isRoot
    ? ["setpriv", ["--reuid=postgres", "--regid=postgres", "--init-groups", program, ...args]]
    : [program, [...args]];
}

/** Runs a program as a user that PostgreSQL accepts. @returns its standard output. */
async function runAsUser(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(...asUser(program, args), { cwd: tmpdir(), maxBuffer: 1e8 });
  return stdout;
}

/** The folder of PostgreSQL's programs: of the newest version that Debian has installed, or on the path. */
async function binaries(): Promise<string> {
  const versions = await readdir("/usr/lib/postgresql").catch(() => []);
  const newest = versions.toSorted((a, b) => Number(a) - Number(b)).at(-1);
  return newest === undefined ? "" : `/usr/lib/postgresql/${newest}/bin/`;
}
const BIN = await binaries();

/** Runs one of PostgreSQL's programs. @returns its standard output. */
export function postgresProgram(name: string, ...args: readonly string[]): Promise<string> {
  return runAsUser(`${BIN}${name}`, args);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}

/** The folders that tests have made and `removeFolders` removes, each below the system's folder for temporary files. */
const made = new Set<string>();

/** A new empty folder that the user of PostgreSQL owns. */
export async function userFolder(): Promise<string> {
  const outer = await mkdtemp(join(tmpdir(), "ai-job-server-operate-"));
  made.add(outer);
  await chmod(outer, 0o755);
  const folder = join(outer, "data");
  await mkdir(folder, { mode: 0o700 });
  if (isRoot) {
    const [user, group] = await Promise.all(["-u", "-g"].map((flag) => run("id", [flag, "postgres"])));
    await chown(folder, Number(user?.stdout), Number(group?.stdout));
  }
  return folder;
}

export async function removeFolders(): Promise<void> {
  for (const folder of made) await rm(folder, { recursive: true, force: true });
  made.clear();
}

/** A PostgreSQL server of a test's own. */
export class Cluster {
  readonly folder: string;
  readonly port: number;

  private constructor(folder: string, port: number) {
    this.folder = folder;
    this.port = port;
  }

  /**
   * Makes and starts a new one.
   * @param settings lines of its configuration.
   * @param place its folders, which must be empty: of its data, and of its write-ahead log where that is elsewhere.
   */
  static async create(
    settings: Readonly<Record<string, string>> = {},
    place: { readonly data?: string; readonly wal?: string } = {},
  ): Promise<Cluster> {
    const cluster = new Cluster(place.data ?? (await userFolder()), await freePort());
    const wal = place.wal === undefined ? [] : ["-X", place.wal];
    const options = ["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", ...wal];
    await postgresProgram("initdb", "-D", cluster.folder, ...options);
    await cluster.#configure({ max_connections: "60", ...settings });
    await cluster.start();
    return cluster;
  }

  /** The address of a database of this server. */
  url(database = "postgres", role = "postgres"): string {
    return `postgres://${role}@127.0.0.1:${this.port}/${database}`;
  }

  async #configure(settings: Readonly<Record<string, string>>): Promise<void> {
    const all = { port: `${this.port}`, unix_socket_directories: "''", listen_addresses: "'127.0.0.1'", ...settings };
    const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}\n`);
    const tee = spawn(...asUser("tee", ["-a", join(this.folder, "postgresql.auto.conf")]), {
      stdio: ["pipe", "ignore", "inherit"],
    });
    tee.stdin.end(lines.join(""));
    await new Promise((resolve) => tee.once("close", resolve));
  }

  async start(): Promise<void> {
    await postgresProgram("pg_ctl", "-D", this.folder, "-w", "-t", "60", "-l", join(this.folder, "log"), "start");
  }

  /** @param mode `immediate`: as if its processes had been killed. */
  async stop(mode: "fast" | "immediate" = "fast"): Promise<void> {
    await postgresProgram("pg_ctl", "-D", this.folder, "-w", "-m", mode, "stop");
  }

  /** Makes and starts a streaming standby of this server. @param name by which the primary may wait for it. */
  async standby(name = "standby"): Promise<Cluster> {
    const standby = new Cluster(await userFolder(), await freePort());
    const source = `host=127.0.0.1 port=${this.port} user=postgres application_name=${name}`;
    const options = ["-R", "-X", "stream", "-c", "fast", "--no-sync"];
    await postgresProgram("pg_basebackup", "-D", standby.folder, "-d", source, ...options);
    await standby.#configure({ synchronous_standby_names: "''" });
    await standby.start();
    return standby;
  }

  /** Copies the files of this server, which must be stopped, into a new one on another port. */
  async copyFiles(): Promise<Cluster> {
    const copy = new Cluster(await userFolder(), await freePort());
    await runAsUser("cp", ["-a", `${this.folder}/.`, copy.folder]);
    await copy.#configure({});
    return copy;
  }

  /** Takes a backup of the files of this server, without WAL, while it runs. @returns its folder. */
  async baseBackup(): Promise<string> {
    const folder = await userFolder();
    const source = `host=127.0.0.1 port=${this.port} user=postgres`;
    await postgresProgram("pg_basebackup", "-D", folder, "-X", "none", "-c", "fast", "-d", source, "--no-sync");
    return folder;
  }

  /** Waits until all WAL that is written so far has been archived. */
  async archiveAll(): Promise<void> {
    const [written] = await this.sql<{ file: string }>("SELECT pg_walfile_name(pg_switch_wal()) AS file");
    const isArchived = `SELECT last_archived_wal >= '${written?.file}' AS is FROM pg_stat_archiver`;
    for (let attempt = 0; attempt < 600; attempt++) {
      if ((await this.sql<{ is: boolean | null }>(isArchived))[0]?.is === true) return;
      await sleep(50);
    }
    throw new Error("The WAL was not archived in time.");
  }

  /** Makes a server from a base backup, which stays as it is, and waits until it has recovered. */
  static async recover(base: string, settings: Readonly<Record<string, string>>): Promise<Cluster> {
    const recovered = new Cluster(await userFolder(), await freePort());
    await runAsUser("cp", ["-a", `${base}/.`, recovered.folder]);
    await recovered.#configure(settings);
    await runAsUser("touch", [join(recovered.folder, "recovery.signal")]);
    await recovered.start();
    for (let attempt = 0; attempt < 600; attempt++) {
      const [row] = await recovered.sql<{ recovers: boolean }>("SELECT pg_is_in_recovery() AS recovers");
      if (row?.recovers === false) return recovered;
      await sleep(50);
    }
    throw new Error("The server did not come to the end of its recovery.");
  }

  async promote(): Promise<void> {
    await postgresProgram("pg_ctl", "-D", this.folder, "-w", "promote");
  }

  /** Runs statements as the superuser. @returns the rows of the last one. */
  async sql<Row extends pg.QueryResultRow>(text: string, database = "postgres"): Promise<readonly Row[]> {
    const client = new pg.Client({ connectionString: this.url(database) });
    await client.connect();
    try {
      return (await client.query<Row>(text)).rows;
    } finally {
      await client.end();
    }
  }

  async createDatabase(): Promise<string> {
    const name = `jobs_${randomUUID().slice(0, 8)}`;
    await this.sql(`CREATE DATABASE ${name}`);
    return name;
  }
}

/** A PgBouncer before a PostgreSQL server. */
export class Pooler {
  readonly #port: number;
  readonly #child: ReturnType<typeof spawn>;

  private constructor(port: number, child: ReturnType<typeof spawn>) {
    this.#port = port;
    this.#child = child;
  }

  static async start(target: Cluster, mode: "session" | "transaction", poolSize = 20): Promise<Pooler> {
    const folder = await userFolder();
    const port = await freePort();
    const file = join(folder, "..", "pgbouncer.ini");
    const users = join(folder, "..", "users.txt");
    await writeFile(users, '"postgres" ""\n', { mode: 0o644 });
    await writeFile(
      file,
      `[databases]\n* = host=127.0.0.1 port=${target.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${port}\n` +
        `unix_socket_dir =\nauth_type = trust\nauth_file = ${users}\npool_mode = ${mode}\ndefault_pool_size = ${poolSize}\nmax_client_conn = 200\n` +
        "ignore_startup_parameters = options,extra_float_digits\n",
      { mode: 0o644 },
    );
    const child = spawn(...asUser("/usr/sbin/pgbouncer", ["-q", file]), { stdio: "ignore" });
    const pooler = new Pooler(port, child);
    for (let attempt = 0; attempt < 200 && !(await pooler.#answers()); attempt++) await sleep(50);
    return pooler;
  }

  async #answers(): Promise<boolean> {
    const client = new pg.Client({ connectionString: this.url("postgres") });
    client.on("error", () => undefined);
    try {
      await client.connect();
      return true;
    } catch {
      return false;
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  url(database: string, role = "postgres"): string {
    return `postgres://${role}@127.0.0.1:${this.#port}/${database}`;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGKILL");
    await ended;
  }
}

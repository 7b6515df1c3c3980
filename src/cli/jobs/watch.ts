import { clearScreenDown, moveCursor } from "node:readline";
import { type Change, hasEnded, type Job, type JobClient, type WatchOptions } from "@ai-job-server/sdk/client";
import { assertAnswers, type Environment, withClient } from "../connection.ts";
import { print, printJsonLine } from "../output.ts";
import { colored, inOneLine } from "../table.ts";
import { parseId } from "../values.ts";
import { brokenText, tellConnection } from "./connection-text.ts";
import { setExitCode } from "./exit-code.ts";
import { assertNoFilter, filterCommand, filterOf } from "./list.ts";
import { showJobs } from "./show.ts";

/** How often a live table is drawn at most, in milliseconds. */
const DRAW_MS = 100;

/** How many jobs it remembers: more than a terminal has lines. */
const MAX_ROWS = 1_000;

const NO_WRAP = "\u001b[?7l";
const WRAP = "\u001b[?7h";
const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";

/** By which a terminal, or somebody else, ends it. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Begins to watch; tells whether it is connected. */
type Watch = (onConnection: NonNullable<WatchOptions["onConnection"]>) => AsyncIterable<Change>;

/** `watch`: a live table of jobs on a terminal; elsewhere, and with --json, a line for each change. */
export function watchCommand(env: Environment) {
  return filterCommand("watch")
    .description("Shows jobs live: one until it has ended, or all that match until it is stopped.")
    .argument("[id]", "the one job", parseId)
    .action(async (jobId, options) => {
      if (jobId !== undefined) assertNoFilter(options);
      await withClient(options, env, async (client) => {
        await assertAnswers(client);
        const watch: Watch = (onConnection) =>
          jobId === undefined
            ? client.watchJobs(filterOf(options), { onConnection })
            : oneUntilEnded(client, jobId, { onConnection });
        const isLive = process.stdout.isTTY && !options.json;
        const last = await (isLive ? draw(watch) : list(watch, options.json));
        if (jobId !== undefined && last) setExitCode(last);
      });
    });
}

/** A failed job may be retried, so its own watch would go on. */
async function* oneUntilEnded(
  client: JobClient,
  jobId: string,
  options: WatchOptions,
): AsyncGenerator<Change, void, undefined> {
  for await (const change of client.watchJob(jobId, options)) {
    yield change;
    if (hasEnded(change)) return;
  }
}

async function list(watch: Watch, json?: true): Promise<Job | undefined> {
  let last: Job | undefined;
  for await (const { job, ...change } of watch(tellConnection)) {
    last = job;
    const { jobId, statusReason } = job;
    if (json) printJsonLine({ ...change, job });
    else
      print(inOneLine([job.updatedAt, jobId, change.state, job.jobKind, job.errorMessage ?? statusReason].join("  ")));
  }
  return last;
}

/** Keeps the table of the jobs that match in its place on the terminal, newest first, as many as it has lines for. */
async function draw(watch: Watch): Promise<Job | undefined> {
  const jobs = new Map<string, Job>();
  const screen = new Screen();
  let last: Job | undefined;
  let broken: string | undefined;
  const text = () => {
    const table = showJobs(newest(jobs, Math.max((process.stdout.rows || 24) - 3, 1)));
    return broken === undefined ? table : `${table}\n${colored("yellow", broken)}`;
  };
  const changes = watch((isConnected, reason) => {
    broken = isConnected ? undefined : brokenText(new Date(), reason);
    screen.show(text);
  });
  screen.show(text);
  try {
    for await (const { job, matchesFilter } of changes) {
      last = job;
      if (matchesFilter) jobs.set(job.jobId, job);
      else jobs.delete(job.jobId);
      for (const [jobId] of jobs.size > MAX_ROWS ? jobs : []) {
        // Its first entries came first, and are the oldest but for some.
        if (jobs.size > MAX_ROWS) jobs.delete(jobId);
      }
      screen.show(text);
    }
  } finally {
    screen.end();
  }
  return last;
}

function newest(jobs: ReadonlyMap<string, Job>, count: number): readonly Job[] {
  return [...jobs.values()].toSorted((a, b) => b.createdAt.localeCompare(a.createdAt)).slice(0, count);
}

/** Lines of the terminal that are written again and again. Its cursor, which would jump about, is hidden meanwhile. */
class Screen {
  #lines = 0;
  #timer: NodeJS.Timeout | undefined;
  #text: () => string = () => "";

  constructor() {
    process.stdout.write(HIDE_CURSOR);
    process.once("exit", showCursor);
    for (const signal of SIGNALS) process.once(signal, endBy);
  }

  show(text: () => string): void {
    this.#text = text;
    this.#timer ??= setTimeout(() => this.#draw(), DRAW_MS);
  }

  end(): void {
    if (this.#timer) {
      clearTimeout(this.#timer);
      this.#draw();
    }
    showCursor();
    process.off("exit", showCursor);
    for (const signal of SIGNALS) process.off(signal, endBy);
  }

  #draw(): void {
    this.#timer = undefined;
    const { stdout } = process;
    moveCursor(stdout, 0, -this.#lines);
    clearScreenDown(stdout);
    const text = this.#text();
    // Lines that are too long are cut by the terminal: as two, they would make the next drawing begin too low.
    stdout.write(`${NO_WRAP}${text}\n${WRAP}`);
    this.#lines = text.split("\n").length;
  }
}

function showCursor(): void {
  process.stdout.write(SHOW_CURSOR);
}

/** Ends by the same signal, so that a shell sees what it was: Ctrl-C also ends the script that this is a part of. */
function endBy(signal: NodeJS.Signals): void {
  showCursor();
  process.kill(process.pid, signal);
}

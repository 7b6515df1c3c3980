import { createClient, type JobClient } from "@ai-job-server/sdk/client";
import { createWorker, type Worker } from "@ai-job-server/sdk/worker";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { countRequests } from "../kit/counting-proxy.ts";
import { killSpawned, spawnServer } from "../support/spawn-server.ts";
import { ESCAPE, hasTerminals, Terminal } from "./terminal.ts";

/** `watch` as people see it: on a terminal, with a real server and a worker of the kit. */

const LONG = { timeout: 240_000 };
const SOON = { timeout: 60_000 };
const COLOURS = new RegExp(`${ESCAPE}\\[[\\d;]*m`);
const CTRL_C = "\u0003";

describe.skipIf(!hasTerminals())("watch on a terminal", () => {
  let url: string;
  let client: JobClient;
  let worker: Worker;
  let working: Promise<void>;
  /** Lets the job with this word as its input go on. */
  const goOn = new Map<string, () => void>();
  const opened: Terminal[] = [];
  beforeAll(async () => {
    url = await spawnServer({ DATABASE_URL: "memory:" }).url;
    client = createClient({ url });
    worker = createWorker({ url, concurrency: 4 });
    worker.handle("DOC_SUMMARIZE", async ({ inputs }, ctx) => {
      const { word } = z.object({ word: z.string() }).parse(inputs);
      for (const [fraction, page] of [
        [0.3, 3],
        [0.7, 7],
      ] as const) {
        ctx.progress(fraction, `page ${page}`);
        await new Promise<void>((resolve) => goOn.set(word, resolve));
      }
      return { outputs: word };
    });
    working = worker.run();
  }, LONG.timeout);
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((terminal) => terminal.kill()));
  });
  afterAll(async () => {
    worker.stop();
    await working;
    await killSpawned();
  });

  function open(args: readonly string[], options: ConstructorParameters<typeof Terminal>[1] = {}): Terminal {
    const terminal = new Terminal(args, { ...options, env: { AI_JOB_SERVER_URL: url, ...options.env } });
    opened.push(terminal);
    return terminal;
  }

  /** A job, under a label of the test's own. */
  function submit(word: string, jobKind: "DOC_SUMMARIZE" | "DOC_EDIT" = "DOC_SUMMARIZE") {
    const labels = [{ key: "test", value: word }];
    return client.submit({ jobKind, protocolId: "p", jobInputs: { word }, labels });
  }

  test.each([
    ["a wide one", 200],
    ["one that cuts every line", 90],
  ])("draws the table with its bars once, and then in its place: %s", LONG, async (_what, columns) => {
    const word = `drawn on ${columns}`;
    const { jobId } = await submit(word);
    const terminal = open(["watch", "--label", `test=${word}`], { columns });
    // What goes beyond it is written over the last column.
    const shows = (text: string) => text.slice(0, columns - 1).trimEnd();
    const head = expect.stringMatching(/^ID +STATE +KIND +PROTOCOL +/);
    const row = (state: string, progress: string): unknown =>
      expect.stringContaining(shows(`${jobId}  ${state}  DOC_SUMMARIZE  p         ${progress}`));
    await expect.poll(() => terminal.lines, SOON).toEqual([head, row("RUNNING", "███░░░░░░░ 30 % page 3")]);
    expect(terminal.showsCursor).toBe(false);
    goOn.get(word)?.();
    await expect.poll(() => terminal.lines, SOON).toEqual([head, row("RUNNING", "███████░░░ 70 % page 7")]);
    const newer = await submit(word, "DOC_EDIT");
    const newRow = expect.stringMatching(new RegExp(`^${newer.jobId}  QUEUED +DOC_EDIT`));
    await expect.poll(() => terminal.lines, SOON).toEqual([head, newRow, expect.stringContaining(jobId)]);
    goOn.get(word)?.();
    const completed = expect.stringMatching(new RegExp(`^${jobId}  COMPLETED +DOC_SUMMARIZE`));
    await expect.poll(() => terminal.lines, SOON).toEqual([head, newRow, completed]);
    await client.cancel(newer.jobId, "The test is over.");
  });

  test("has colours, and by Ctrl-C the cursor stands below the table again", LONG, async () => {
    const { jobId } = await submit("coloured", "DOC_EDIT");
    const terminal = open(["watch", "--label", "test=coloured"]);
    await expect.poll(() => terminal.lines.join("\n"), SOON).toContain(jobId);
    expect(terminal.showsCursor).toBe(false);
    terminal.type(CTRL_C);
    expect(await terminal.ended()).toBe(130);
    expect(terminal).toMatchObject({ showsCursor: true, wraps: true });
    // Where a shell prints its prompt; the terminal itself shows what was typed.
    expect(terminal.lines.slice(1)).toEqual([expect.stringContaining(jobId), "^C"]);
    expect(terminal.written).toMatch(COLOURS);
    await client.cancel(jobId, "The test is over.");
  });

  test("has no colours where NO_COLOR is set; of one job it ends as the job does", LONG, async () => {
    const { jobId } = await submit("plain", "DOC_EDIT");
    const terminal = open(["watch", jobId], { env: { NO_COLOR: "1" } });
    await expect.poll(() => terminal.lines.join("\n"), SOON).toContain("QUEUED");
    await client.cancel(jobId, "The test is over.");
    expect(await terminal.ended()).toBe(3);
    expect(terminal.lines.slice(1)).toEqual([expect.stringMatching(new RegExp(`^${jobId}  CANCELLED `))]);
    expect(terminal.showsCursor).toBe(true);
    expect(terminal.written).not.toMatch(COLOURS);
  });

  test("says in its last line that it is disconnected, for as long as it is", LONG, async () => {
    const { jobId } = await submit("broken", "DOC_EDIT");
    const proxy = await countRequests(url);
    const terminal = open(["watch", "--label", "test=broken"], { env: { AI_JOB_SERVER_URL: proxy.url } });
    const row = expect.stringContaining(jobId);
    await expect.poll(() => terminal.lines.slice(1), SOON).toEqual([row]);
    proxy.cut(3_000);
    const broken = expect.stringMatching(/^Disconnected since 20[-\dT:.]+Z; reconnecting\. /);
    await expect.poll(() => terminal.lines.slice(1), SOON).toEqual([row, broken]);
    await expect.poll(() => terminal.lines.slice(1), SOON).toEqual([row]);
    await client.cancel(jobId, "The test is over.");
    await expect.poll(() => terminal.lines.slice(1), SOON).toEqual([expect.stringContaining("CANCELLED")]);
    await proxy.close();
  });
});

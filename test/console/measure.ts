import type { CDPSession, Page } from "playwright-core";
import { z } from "zod";

/** What a page takes, as the browser tells it. */

/** What was measured, for whoever reads the run. */
export function figure(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** @returns how many bytes of memory the page's scripts use, without what is garbage. */
export async function heapOf(session: CDPSession): Promise<number> {
  await session.send("HeapProfiler.enable");
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  return usedSize;
}

/** How fluent a page was, in milliseconds. */
export interface Pace {
  /** How long its longest task kept a processor busy; without the time for which the machine did something else. */
  readonly task: number;
  /** How long 95 of 100 of its frames were shown at most. */
  readonly frame: number;
}

const name = z.object({ name: z.literal("thread_name"), args: z.object({ name: z.literal("CrRendererMain") }) });
const task = z.object({ name: z.literal("ThreadControllerImpl::RunTask"), tdur: z.number() });
const ofThread = z.object({ pid: z.number(), tid: z.number() });
const frames = z.array(z.number());

/** Looks how fluent a page is while something is done. */
export async function paceWhile(page: Page, session: CDPSession, act: () => Promise<unknown>): Promise<Pace> {
  const told: unknown[] = [];
  const take = ({ value }: { readonly value: readonly unknown[] }) => void told.push(...value);
  session.on("Tracing.dataCollected", take);
  await session.send("Tracing.start", {
    transferMode: "ReportEvents",
    traceConfig: { includedCategories: ["toplevel"] },
  });
  await page.evaluate(`
    const times = [];
    let shownAt = performance.now();
    const show = (now) => {
      times.push(now - shownAt);
      shownAt = now;
      next = requestAnimationFrame(show);
    };
    let next = requestAnimationFrame(show);
    globalThis.endFrames = () => {
      cancelAnimationFrame(next);
      return times;
    };
  `);
  await act();
  const shown = frames.parse(await page.evaluate("endFrames()")).toSorted((one, other) => one - other);
  const isTold = new Promise((resolve) => session.once("Tracing.tracingComplete", resolve));
  await session.send("Tracing.end");
  await isTold;
  session.off("Tracing.dataCollected", take);
  return { task: longestTask(told), frame: shown[Math.floor(shown.length * 0.95)] ?? Number.POSITIVE_INFINITY };
}

/** @returns the longest task, in milliseconds, of the threads on which pages run their scripts. */
function longestTask(events: readonly unknown[]): number {
  const threads = new Set(events.filter((event) => name.safeParse(event).success).map(threadOf));
  const micros = events.map((event) => {
    const { data } = task.safeParse(event);
    return data && threads.has(threadOf(event)) ? data.tdur : 0;
  });
  return micros.reduce((longest, each) => Math.max(longest, each), 0) / 1000;
}

function threadOf(event: unknown): string {
  const { pid, tid } = ofThread.parse(event);
  return `${pid} ${tid}`;
}

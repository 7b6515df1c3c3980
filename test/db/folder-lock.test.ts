import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { FolderInUseError, lockFolder } from "../../src/db/folder-lock.ts";

let folder: string;
const children = new Set<ChildProcess>();
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "folder-lock-"));
});
afterEach(() => rm(folder, { recursive: true }));
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
});

test("a folder is held until it is released, and can be held again", async () => {
  const unlock = await lockFolder(folder);
  expect(await readdir(folder)).toHaveLength(1);
  await unlock();
  expect(await readdir(folder)).toEqual([]);
  await (await lockFolder(folder))();
});

test("a folder that is held is refused, with the holder and what to do", async () => {
  const unlock = await lockFolder(folder);
  const refused = await lockFolder(folder).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(FolderInUseError);
  expect(refused).toHaveProperty(
    "message",
    `${folder} is locked by process ${process.pid}. Stop that server, or set DATABASE_URL to another folder.`,
  );
  expect(await readdir(folder)).toHaveLength(1);
  await unlock();
});

test("who was refused leaves nothing behind that would hold it", async () => {
  const unlock = await lockFolder(folder);
  await expect(lockFolder(folder)).rejects.toThrow(FolderInUseError);
  await unlock();
  await (await lockFolder(folder))();
});

test("of several that start at once, never do two hold it", async () => {
  const attempts = await Promise.allSettled([1, 2, 3, 4].map(() => lockFolder(folder)));
  const holders = attempts.filter(({ status }) => status === "fulfilled");
  expect(holders.length).toBeLessThanOrEqual(1);
  for (const attempt of attempts) await (attempt.status === "fulfilled" && attempt.value());
  expect(await readdir(folder)).toEqual([]);
});

describe("an entry", () => {
  test("of a process that has died is taken over at once", async () => {
    const child = await aProcess();
    const entry = entryOf(child.pid);
    const died = once(child, "exit");
    child.kill("SIGKILL");
    await died;
    await expectStale(entry);
  });

  test("of a process that lives holds the folder", async () => {
    const child = await aProcess();
    await writeFile(join(folder, entryOf(child.pid)), "");
    await expect(lockFolder(folder)).rejects.toThrow(`locked by process ${child.pid}.`);
    expect(await readdir(folder)).toEqual([entryOf(child.pid)]);
  });

  test("of a process whose number another has now is taken over at once", async () => {
    const child = await aProcess();
    await expectStale(`${child.pid}-1-8c5f2b1e`);
  });

  test("of a process that had this one's number is taken over at once", async () => {
    await expectStale(`${process.pid}-1-8c5f2b1e`);
  });

  test("of a process that had this one's number and start, before the machine did start again, is taken over", async () => {
    await expectStale(`${entryOf(process.pid)}`);
  });

  test.each([".DS_Store", "0-1-x", "-5-1-x", "NaN-1-x", "1.5-1-x", "999999999-1-x"])(
    "that names no process is taken away: %s",
    (entry) => expectStale(entry),
  );
});

async function expectStale(entry: string): Promise<void> {
  await writeFile(join(folder, entry), "");
  const unlock = await lockFolder(folder);
  const left = await readdir(folder);
  expect(left).toHaveLength(1);
  expect(left).not.toContain(entry);
  await unlock();
}

/** A process that lives until it is killed. */
async function aProcess(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  await once(child, "spawn");
  children.add(child);
  return child;
}

/** As a process writes it: its number, its start in clock ticks since boot where the system tells, and its own name. */
function entryOf(pid: number | undefined): string {
  return `${pid}-${startOf(pid)}-8c5f2b1e`;
}

function startOf(pid: number | undefined): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")")).split(" ")[20] ?? "unknown";
  } catch {
    return "unknown";
  }
}

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Another live process uses the folder of the embedded database. */
export class FolderInUseError extends Error {
  constructor(folder: string, pid: number) {
    super(`${folder} is locked by process ${pid}. Stop that server, or set DATABASE_URL to another folder.`);
    this.name = "FolderInUseError";
  }
}

/**
 * Locks a folder for this process.
 *
 * Each process first creates a file with a unique name in the folder and then looks for the files of others. Of two processes
 * that start at the same time at least one sees the other's file, so both never get the lock (both may be refused). The file
 * of a process that has died is deleted by the next process that sees it: there is no lease to wait for, and since every name
 * is unique, a live process's file is never deleted by mistake.
 *
 * The lock holds between the processes of one machine or container: two containers must not be given the same folder.
 * @param folder is created where it is missing, and holds nothing else.
 * @returns a function that releases the lock.
 * @throws FolderInUseError when a live process has the lock.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  await mkdir(folder, { recursive: true });
  const ownEntry = `${process.pid}-${processStartTime(process.pid)}-${randomUUID()}`;
  const unlock = async () => {
    ownEntries.delete(ownEntry);
    await rm(join(folder, ownEntry), { force: true });
  };
  ownEntries.add(ownEntry);
  await writeFile(join(folder, ownEntry), "");
  for (const entry of await readdir(folder)) {
    if (entry === ownEntry) continue;
    const holderPid = livingHolderPid(entry);
    if (holderPid !== undefined) {
      await unlock();
      throw new FolderInUseError(folder, holderPid);
    }
    await rm(join(folder, entry), { force: true });
  }
  return unlock;
}

/** @returns the process that has locked a folder; undefined where none has. It changes nothing. */
export async function holderOf(folder: string): Promise<number | undefined> {
  const entries = await readdir(folder).catch(() => []);
  return entries.map(livingHolderPid).find((pid) => pid !== undefined);
}

/** The files of this process. A file with this process's pid that is not listed here is from an earlier process. */
const ownEntries = new Set<string>();

/** @returns the pid of the live process that created an entry; undefined where that process has died. */
function livingHolderPid(entry: string): number | undefined {
  const [pidText = "", startTime = ""] = entry.split("-");
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  if (pid === process.pid) return ownEntries.has(entry) ? pid : undefined;
  return isAlive(pid) && processStartTime(pid) === startTime ? pid : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/**
 * @returns when a process started, in clock ticks since boot. A pid can be used again by another process, which has another
 *   start time.
 */
function processStartTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // Field 22 is the start time. Field 2, the command, may contain spaces and brackets, so counting begins after it.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "unknown";
  } catch {
    return "unknown"; // Systems without /proc (macOS, Windows): only the pid is compared.
  }
}

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

export class FolderInUseError extends Error {
  constructor(folder: string, pid: number) {
    super(`${folder} is held by process ${pid}. Stop that server, or give this one another folder by DATABASE_URL.`);
    this.name = "FolderInUseError";
  }
}

/**
 * Holds a folder for this process; the answer releases it.
 *
 * Each process writes an entry of its own and then looks for others: of two that start at once at least one sees the
 * other, so two never both hold it. An entry whose process has died is removed by whoever sees it, at once: there
 * is no lease to wait for and, every entry's name being unique, nothing that two takers could race for.
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

/** This very process's entries: its pid lives, so one that is not among them is a predecessor's. */
const ownEntries = new Set<string>();

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

/** When a process started, in clock ticks since boot, so that a pid used again is not taken for its predecessor. */
function processStartTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field, the command, may hold spaces and brackets; the 22nd field is the start.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "unknown";
  } catch {
    return "unknown"; // No /proc here (macOS, Windows): the pid alone decides.
  }
}

import { execFile } from "node:child_process";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { userFolder } from "./cluster.ts";

const run = promisify(execFile);

/** Whether this process may mount a file system. */
export const mayMount = process.getuid?.() === 0 && process.platform === "linux";

/** A disk of a few megabytes that a test fills and frees: a file system in memory, mounted over a folder. */
export class SmallDisk {
  /** Where it is mounted; the user of PostgreSQL owns it. */
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @throws Error where this process may not mount. */
  static async mount(megabytes: number): Promise<SmallDisk> {
    const disk = new SmallDisk(await userFolder());
    const [user, group] = await Promise.all(["%u", "%g"].map((format) => run("stat", ["-c", format, disk.folder])));
    const owner = `uid=${user?.stdout.trim()},gid=${group?.stdout.trim()},mode=0700`;
    const options = `size=${megabytes}m,${owner}`;
    await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", disk.folder]).catch((error: unknown) => {
      throw new Error("No file system can be mounted here, which the tests of a full disk need: run them as root.", {
        cause: error,
      });
    });
    return disk;
  }

  get #filler(): string {
    return join(this.folder, "filler");
  }

  /** Takes what is free, to the last block. */
  async fill(): Promise<void> {
    const file = await open(this.#filler, "a");
    try {
      for (let bytes = 1 << 20; bytes >= 4096; ) {
        const wrote = await file.write(Buffer.alloc(bytes)).then(
          ({ bytesWritten }) => bytesWritten === bytes,
          () => false,
        );
        if (!wrote) bytes /= 2;
      }
    } finally {
      await file.close();
    }
  }

  /** Gives back what `fill` took. */
  free(): Promise<void> {
    return rm(this.#filler, { force: true });
  }

  async unmount(): Promise<void> {
    await run("umount", ["--lazy", this.folder]);
  }
}

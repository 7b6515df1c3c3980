import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { dataDir as emptyCluster } from "@electric-sql/pglite-prepopulatedfs";
import { lockFolder } from "./folder-lock.ts";

/** An embedded PostgreSQL in memory. Starts from a packed empty cluster: a tenth of the time of initdb. */
export async function createPglite(): Promise<PGlite> {
  return inUtc(await PGlite.create({ loadDataDir: await emptyCluster() }));
}

/**
 * An embedded PostgreSQL in `folder`, which this process holds until it closes or dies.
 * @throws FolderInUseError when another live process holds the folder.
 */
export async function openPglite(folder: string): Promise<PGlite> {
  await mkdir(folder, { recursive: true });
  const unlock = await lockFolder(join(folder, "lock"));
  try {
    const cluster = join(folder, "cluster");
    if (!existsSync(cluster)) await createCluster(cluster);
    const pglite = await inUtc(await PGlite.create(cluster));
    const close = pglite.close.bind(pglite);
    pglite.close = async () => {
      await close();
      await unlock();
    };
    return pglite;
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** Unpacked beside its place and then renamed: a process killed half way leaves nothing that looks like a cluster. */
async function createCluster(cluster: string): Promise<void> {
  const half = `${cluster}.new`;
  await rm(half, { recursive: true, force: true });
  const pglite = await PGlite.create({ dataDir: half, loadDataDir: await emptyCluster() });
  await pglite.close();
  await rename(half, cluster);
}

/** Prisma's adapters take every timestamp that they read for UTC. */
async function inUtc(pglite: PGlite): Promise<PGlite> {
  await pglite.exec("SET TIME ZONE 'UTC'");
  return pglite;
}

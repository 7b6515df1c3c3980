import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { dataDir as emptyCluster } from "@electric-sql/pglite-prepopulatedfs";
import { lockFolder } from "./folder-lock.ts";
import { PLANNER_SETTINGS } from "./prepared.ts";

/** @returns an embedded PostgreSQL in memory. It starts from a packed empty cluster, in a tenth of the time of initdb. */
export async function createPglite(): Promise<PGlite> {
  return withSettings(await PGlite.create({ loadDataDir: await emptyCluster() }));
}

/**
 * Opens the embedded PostgreSQL in a folder, and creates it if it is not there. The folder stays locked until the database
 * is closed or the process ends.
 * @throws FolderInUseError when another live process uses the folder.
 */
export async function openPglite(folder: string): Promise<PGlite> {
  await mkdir(folder, { recursive: true });
  const unlock = await lockFolder(join(folder, "lock"));
  try {
    const pglite = await withSettings(await openCluster(folder));
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

/**
 * Opens the cluster in a folder, and unpacks an empty one if there is none. The marker file is written after unpacking. A
 * cluster without it was left by a process that was killed meanwhile; it has no data yet, so it is deleted and made again.
 */
async function openCluster(folder: string): Promise<PGlite> {
  const cluster = join(folder, "cluster");
  const completeMarker = join(folder, "cluster-is-complete");
  if (existsSync(completeMarker)) return PGlite.create(cluster);
  await rm(cluster, { recursive: true, force: true });
  const pglite = await PGlite.create({ dataDir: cluster, loadDataDir: await emptyCluster() });
  await writeFile(completeMarker, "");
  return pglite;
}

/** Applies those session settings of session.ts that have a meaning with a single connection. */
async function withSettings(pglite: PGlite): Promise<PGlite> {
  const settings = Object.entries(PLANNER_SETTINGS).map(([name, value]) => `SET ${name} = ${value};`);
  await pglite.exec(`SET TIME ZONE 'UTC'; ${settings.join(" ")}`);
  return pglite;
}

import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { dataDir as emptyCluster } from "@electric-sql/pglite-prepopulatedfs";
import { lockFolder } from "./folder-lock.ts";
import { PLANNER_SETTINGS } from "./prepared.ts";

/** An embedded PostgreSQL in memory. Starts from a packed empty cluster: a tenth of the time of initdb. */
export async function createPglite(): Promise<PGlite> {
  return withSettings(await PGlite.create({ loadDataDir: await emptyCluster() }));
}

/**
 * An embedded PostgreSQL in `folder`, which this process holds until it closes or dies.
 * @throws FolderInUseError when another live process holds the folder.
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

/** A process that was killed while it unpacked leaves no mark: what it left is thrown away, and nothing was in it. */
async function openCluster(folder: string): Promise<PGlite> {
  const cluster = join(folder, "cluster");
  const completeMarker = join(folder, "cluster-is-complete");
  if (existsSync(completeMarker)) return PGlite.create(cluster);
  await rm(cluster, { recursive: true, force: true });
  const pglite = await PGlite.create({ dataDir: cluster, loadDataDir: await emptyCluster() });
  await writeFile(completeMarker, "");
  return pglite;
}

/** As a session on PostgreSQL is (open.ts), where the settings mean something here. */
async function withSettings(pglite: PGlite): Promise<PGlite> {
  const settings = Object.entries(PLANNER_SETTINGS).map(([name, value]) => `SET ${name} = ${value};`);
  await pglite.exec(`SET TIME ZONE 'UTC'; ${settings.join(" ")}`);
  return pglite;
}

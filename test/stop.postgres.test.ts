import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createPostgresDatabase } from "./support/database.ts";
import { startProxy } from "./support/interrupt.ts";
import { watch } from "./support/live.ts";
import { paceHere } from "./support/pace.ts";
import { killSpawned, post, spawnServer } from "./support/spawn-server.ts";

/** How a server stops whose database neither answers nor closes its connections. */

let env: Readonly<Record<"DATABASE_URL" | "MIGRATE_DATABASE_URL", string>>;
let drop: () => Promise<void>;
beforeAll(async () => {
  ({ env, drop } = await createPostgresDatabase());
});
afterAll(async () => {
  await killSpawned();
  await drop();
});

test("in a network that drops every packet, the process has gone 10 seconds after SIGTERM, and says why", async () => {
  const proxy = await startProxy(env.DATABASE_URL);
  const server = spawnServer({ ...env, DATABASE_URL: proxy.url });
  const address = await server.url;
  const submit = `mutation { submitAiJob(input: { jobKind: DOC_SUMMARIZE, protocolId: "test" }) { __typename } }`;
  await using subscriber = watch(
    "graphql-sse",
    address,
    { query: "subscription { aiJobsChanged { version } }" },
    Number,
  );
  await post(address, submit);
  await subscriber.until((seen) => seen.length === 1);
  proxy.silence();
  proxy.abandon();
  // A write, a read of the feed and maintenance tasks wait for answers that never come.
  const inFlight = post(address, submit).catch(() => "no answer");
  await sleep(1_500);

  const since = performance.now();
  const { code, stderr } = await server.end("SIGTERM");
  expect(performance.now() - since).toBeLessThan(10_000 * paceHere());
  expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
  expect(server.logged.at(-1)).toContain("the server could not stop in time, and ends as it is");
  expect(await inFlight).toBe("no answer");
  await proxy.close();
}, 90_000);

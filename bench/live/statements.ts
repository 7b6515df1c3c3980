import { setTimeout as sleep } from "node:timers/promises";
import { openDatabase } from "../../src/db/open.ts";
import { startTestServer } from "../../test/support/server.ts";
import { SubscriberProcess } from "./subscriber-process.ts";
import type { Writer } from "./writer.ts";

const EVENTS = 10;
/**
 * Milliseconds between two events: longer than a delivery to all subscribers, so that each event is read on its own.
 */
const APART = 500;

/**
 * How many statements the server sends to its database per event, with this many subscribers of its job. All statements
 * are counted, polls of the idle log included, over the same time for any number of subscribers.
 */
export async function statementsPerEvent(
  databaseUrl: string,
  writer: Writer,
  query: string,
  counts: readonly number[],
): Promise<number[]> {
  let statements = 0;
  const database = await openDatabase({ kind: "postgres", url: databaseUrl, poolSize: 10 }, () => {
    statements += 1;
  });
  const server = await startTestServer(database, {}, { pollMs: 250 });
  const subscriberProcess = new SubscriberProcess();
  const [jobId = ""] = writer.jobIds;
  const perEvent: number[] = [];
  let opened = 0;
  try {
    for (const count of counts) {
      await subscriberProcess.open(server.url, query, Array(count - opened).fill({ jobId }));
      opened = count;
      await subscriberProcess.latencies(server.url, count, () => writer.change([jobId]));
      await sleep(APART);
      statements = 0;
      for (let event = 0; event < EVENTS; event += 1) {
        const next = sleep(APART);
        await subscriberProcess.latencies(server.url, count, () => writer.change([jobId]));
        await next;
      }
      perEvent.push(statements / EVENTS);
    }
    return perEvent;
  } finally {
    await subscriberProcess.stop();
    await server.close();
    await database.close();
  }
}

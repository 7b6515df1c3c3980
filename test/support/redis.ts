import { createClient } from "@redis/client";

/** The Redis server for tests. */
export const TEST_REDIS_URL = process.env.TEST_REDIS_URL ?? "redis://127.0.0.1:6379";

/** A connection of the test's own, on which it observes and breaks the server's connections. */
export interface RedisAdmin extends AsyncDisposable {
  /** The number of connections of the servers whose log has this hintChannel. */
  connections(hintChannel: string): Promise<number>;
  /** Breaks these connections. */
  breakAll(hintChannel: string): Promise<void>;
}

export async function redisAdmin(): Promise<RedisAdmin> {
  const client = createClient({ url: TEST_REDIS_URL });
  await client.connect();
  const idsOf = async (hintChannel: string) =>
    (await client.clientList()).filter(({ name }) => name.endsWith(hintChannel)).map(({ id }) => id);
  return {
    connections: async (hintChannel) => (await idsOf(hintChannel)).length,
    breakAll: async (hintChannel) => {
      for (const id of await idsOf(hintChannel)) await client.clientKill({ filter: "ID", id });
    },
    [Symbol.asyncDispose]: async () => client.close(),
  };
}

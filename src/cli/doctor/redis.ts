import type { Config } from "../../config.ts";
import { redisTransport } from "../../live/notifier-redis.ts";
import type { Finding } from "./finding.ts";

/** @returns whether Redis answers, connected to as the server would; nothing where there is to be none. */
export async function redisFindings({ redisUrl }: Config): Promise<readonly Finding[]> {
  if (redisUrl === undefined) return [];
  const check = "redis";
  try {
    const sentAt = performance.now();
    const connection = await redisTransport(redisUrl, "doctor").connect(() => undefined);
    await connection.ping().finally(() => connection.close());
    return [
      { check, state: "ok", text: `It answers; ${Math.round(performance.now() - sentAt)} ms to connect and ask.` },
    ];
  } catch (error) {
    const why = error instanceof Error && error.message !== "" ? error.message : "it cannot be reached";
    const meanwhile = "A server starts without it, sees what others do a little later, and counts rates by itself.";
    const text = `It does not answer at the address in REDIS_URL (${why}). Start it, or correct the address. ${meanwhile}`;
    return [{ check, state: "warning", text }];
  }
}

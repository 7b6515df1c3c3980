import { Socket } from "node:net";
import pg from "pg";
import type { NotifierTransport } from "./notifier.ts";

/** NOTIFY reaches the listeners of its own database only, so the name needs nothing of the database in it. */
const CHANNEL = "ai_job_server";
const TIMEOUT_MS = 5000;

/** LISTEN and NOTIFY, on a connection of their own: for several servers, without further parts. */
export function postgresTransport(databaseUrl: string): NotifierTransport {
  return {
    kind: "postgres",
    connect: async (onHint) => {
      // Made here, so that it can be let go of without a word to a server that may not hear it.
      const socket = new Socket();
      const client = new pg.Client({
        connectionString: databaseUrl,
        connectionTimeoutMillis: TIMEOUT_MS,
        query_timeout: TIMEOUT_MS,
        application_name: "ai-job-server signals",
        stream: () => socket,
      });
      const broken = new Promise<unknown>((resolve) => {
        client.on("error", resolve);
        client.on("end", () => resolve(undefined));
      });
      client.on("notification", ({ payload }) => onHint(payload ?? ""));
      try {
        await client.connect();
        // A hint is not worth a wait for the disk; NOTIFY holds its lock until its commit is done.
        await client.query(`SET synchronous_commit = off; LISTEN ${CHANNEL}`);
      } catch (error) {
        socket.destroy();
        throw error;
      }
      // One after the other: a connection is given no query while it has one.
      let last: Promise<unknown> = Promise.resolve();
      const runSequentially = async (query: string, values: string[] = []): Promise<void> => {
        last = last.catch(() => undefined).then(() => client.query(query, values));
        await last;
      };
      return {
        send: (sender) => runSequentially("SELECT pg_notify($1, $2)", [CHANNEL, sender]),
        ping: () => runSequentially("SELECT 1"),
        broken,
        close: () => {
          socket.destroy();
        },
      };
    },
  };
}

import { Socket } from "node:net";
import pg from "pg";
import type { NotifierTransport } from "./notifier.ts";

/** NOTIFY reaches listeners of its own database only, so the channel's name need not contain the database's. */
const CHANNEL = "ai_job_server";
const TIMEOUT_MS = 5000;

/** Notify hints over PostgreSQL's LISTEN and NOTIFY, on a connection of its own: several servers need nothing else. */
export function postgresTransport(databaseUrl: string): NotifierTransport {
  return {
    kind: "postgres",
    connect: async (onHint) => {
      // Made here, so that `close` can destroy the socket: pg's own `end` waits for a server that may no longer answer.
      const socket = new Socket();
      const client = new pg.Client({
        connectionString: databaseUrl,
        connectionTimeoutMillis: TIMEOUT_MS,
        query_timeout: TIMEOUT_MS,
        // Monitors find this connection by its name in pg_stat_activity, so the name must not change.
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
        // A notification need not survive a crash. Without this, its commit would wait for the disk, and NOTIFY holds a
        // lock of the whole database until its commit is done.
        await client.query(`SET synchronous_commit = off; LISTEN ${CHANNEL}`);
      } catch (error) {
        socket.destroy();
        throw error;
      }
      // One query at a time: pg must not be given a query while another one runs on the same client.
      let previous: Promise<unknown> = Promise.resolve();
      const runSequentially = async (query: string, values: string[] = []): Promise<void> => {
        previous = previous.catch(() => undefined).then(() => client.query(query, values));
        await previous;
      };
      return {
        send: (senderId) => runSequentially("SELECT pg_notify($1, $2)", [CHANNEL, senderId]),
        ping: () => runSequentially("SELECT 1"),
        broken,
        close: () => {
          socket.destroy();
        },
      };
    },
  };
}

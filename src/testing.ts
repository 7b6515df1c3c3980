import { pino } from "pino";
import { readConfig } from "./config.ts";
import { start } from "./start.ts";

/** For tests of workers and frontends: `import { createTestServer } from "ai-job-server/testing"` (docs/testing.md). */

/** A server of its own, in the process of the test. */
export interface TestServer {
  /** The address of its API. */
  readonly url: string;
  /** Stops it; what it had is gone. */
  close(): Promise<void>;
}

/**
 * Starts a server in memory, on a free port of this machine, which asks nobody who they are. Recovery and retries are quicker than a real
 * one's, so that tests need not wait.
 * @param settings environment variables of docs/configuration.md, to change that.
 */
export async function createTestServer(settings: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const config = readConfig({ ...QUICK, ...settings });
  const { url, close } = await start(config, pino({ level: config.logLevel }));
  return { url, close };
}

const QUICK = {
  DATABASE_URL: "memory:",
  HOST: "127.0.0.1",
  PORT: "0",
  LOG_LEVEL: "silent",
  RECOVERY_INTERVAL_SECONDS: "0.5",
  RETRY_FIRST_SECONDS: "0",
};

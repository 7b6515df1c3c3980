import { pino } from "pino";
import { readConfig } from "./config.ts";
import { explain } from "./explain.ts";
import { start } from "./start.ts";

/**
 * Milliseconds that stopping may take before the process exits anyway, for instance because the database says nothing more:
 * less than the 10 seconds that are promised, because on a busy machine the signal and the exit take a second or two, too.
 */
const STOP_MS = 8_000;

try {
  const config = readConfig(process.env);
  const log = pino({ level: config.logLevel });
  const server = await start(config, log);
  const stop = (signal: NodeJS.Signals) => {
    log.info(`${signal}: stopping`);
    const exitAnyway = () => {
      log.warn("the server could not stop in time, and ends as it is");
      process.exit(1);
    };
    setTimeout(exitAnyway, STOP_MS).unref();
    server.close().then(
      () => process.exit(0),
      (err: unknown) => {
        log.error({ err }, "the server could not stop cleanly");
        process.exit(1);
      },
    );
  };
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  // Logged after the signal handlers are set: a supervisor may send a signal as soon as it reads this line.
  log.info(`GraphQL on ${server.url}`);
  log.info(`Console on ${new URL("/", server.url).href}`);
} catch (error) {
  process.stderr.write(`${explain(error)}\n`);
  process.exitCode = 1;
}

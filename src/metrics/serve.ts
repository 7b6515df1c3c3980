import { createServer, type Server } from "node:http";
import type { Logger } from "pino";
import { type ListenAddress, listen } from "../listen.ts";
import type { Metrics } from "./metrics.ts";

const PATH = "/metrics";

/**
 * Serves GET /metrics on a port of its own, which is not that of the API, so that it need be open to nobody but monitoring.
 * @returns the server, which listens.
 * @throws ListenError where the port cannot be used.
 */
export async function serveMetrics(metrics: Metrics, address: ListenAddress, log: Logger): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url !== PATH || request.method !== "GET") {
      response.writeHead(404).end();
      return;
    }
    metrics.registry.metrics().then(
      (text) => response.writeHead(200, { "content-type": metrics.registry.contentType }).end(text),
      (err: unknown) => {
        log.warn({ err }, "metrics could not be read");
        response.writeHead(503).end();
      },
    );
  });
  log.info(`metrics on ${await listen(server, address, "METRICS_PORT")}${PATH}`);
  return server;
}

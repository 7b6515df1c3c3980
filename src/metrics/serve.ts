import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { Logger } from "pino";
import { ListenError } from "../listen-error.ts";
import type { Metrics } from "./metrics.ts";

/** Where monitoring asks: a port of its own, which is not that of the API, so that it need be open to nobody else. */
export interface MetricsAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Serves GET /metrics.
 * @returns the server, which listens.
 * @throws ListenError where the port cannot be used.
 */
export async function serveMetrics(metrics: Metrics, address: MetricsAddress, log: Logger): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url !== "/metrics" || request.method !== "GET") {
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
  try {
    server.listen(address.port, address.host);
    await once(server, "listening");
  } catch (error) {
    throw new ListenError(address.host, address.port, "METRICS_PORT", error);
  }
  const { host } = address;
  const bound = server.address();
  const port = typeof bound === "object" && bound ? bound.port : address.port;
  log.info(`metrics on http://${host.includes(":") ? `[${host}]` : host}:${port}/metrics`);
  return server;
}

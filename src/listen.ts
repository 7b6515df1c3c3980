import { once } from "node:events";
import type { Server } from "node:net";

/** An address of this machine, and a port; 0 picks a free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Lets a server listen.
 * @param setting the name of the setting by which another port is chosen.
 * @returns where it listens, such as http://127.0.0.1:4000, with the port that was bound.
 * @throws ListenError where it cannot.
 */
export async function listen(server: Server, address: ListenAddress, setting: PortSetting): Promise<string> {
  const { host, port } = address;
  try {
    server.listen(port, host);
    await once(server, "listening");
  } catch (error) {
    throw new ListenError(address, setting, error);
  }
  const bound = server.address();
  const boundPort = typeof bound === "object" && bound ? bound.port : port;
  return `http://${host.includes(":") ? `[${host}]` : host}:${boundPort}`;
}

type PortSetting = "PORT" | "METRICS_PORT";

/** A server cannot listen on a host and a port, which the message names. */
export class ListenError extends Error {
  override readonly name = "ListenError";

  constructor({ host, port }: ListenAddress, setting: PortSetting, cause: unknown) {
    const message = `The server cannot listen on ${host}:${port}. Stop what listens there, or set ${setting} (0 picks a free port).`;
    super(message, { cause });
  }
}

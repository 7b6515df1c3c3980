/** The server cannot listen on a host and a port, which the message names. */
export class ListenError extends Error {
  override readonly name = "ListenError";

  /** @param setting the name of the setting by which another port is chosen. */
  constructor(host: string, port: number, setting: "PORT" | "METRICS_PORT", cause: unknown) {
    super(
      `The server cannot listen on ${host}:${port}. Stop what listens there, or set ${setting} (0 picks a free port).`,
      {
        cause,
      },
    );
  }
}

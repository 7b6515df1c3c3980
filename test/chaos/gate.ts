import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * The network between a worker and the servers: with a port for each of them, or with one that leads to any that is up, as a load
 * balancer does. While it is cut, connections stay as they are, and nothing passes: what the worker sends is kept, and delivered when
 * the network is whole again, whether the worker still waits for an answer or not.
 */
export interface Gate {
  /** The ports that lead to the servers, in their order; or the one that leads to any. */
  readonly ports: readonly number[];
  cut(): void;
  mend(): void;
  close(): void;
}

/** @param targets the ports of the servers. */
export async function openGate(targets: readonly number[], { isBalanced = false } = {}): Promise<Gate> {
  let isCut = false;
  const wires = new Set<Wire>();
  let connections = 0;
  /** From one server after the other, so that each gets its share. */
  const inTurn = () => targets.map((_, index) => targets[(index + connections) % targets.length] ?? 0);
  const listeners = (isBalanced ? [null] : targets).map((target) =>
    createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
      connections += 1;
      const wire = new Wire(near, target === null ? inTurn() : [target], () => wires.delete(wire));
      wires.add(wire);
      if (!isCut) wire.pass();
    }).listen(0, "127.0.0.1"),
  );
  await Promise.all(listeners.map((listener) => once(listener, "listening")));
  return {
    ports: listeners.map(portOf),
    cut: () => {
      isCut = true;
      for (const wire of wires) wire.hold();
    },
    mend: () => {
      isCut = false;
      for (const wire of wires) wire.pass();
    },
    close: () => {
      for (const listener of listeners) listener.close();
      for (const wire of wires) wire.end();
    },
  };
}

function portOf(listener: ReturnType<typeof createServer>): number {
  const address = listener.address();
  if (typeof address !== "object" || address === null) throw new Error("It listens on no port.");
  return address.port;
}

/** One connection through the gate. */
class Wire {
  readonly #near: Socket;
  readonly #onEnd: () => void;
  /** The servers that it has not tried yet. */
  readonly #targets: number[];
  #far: Socket | undefined;
  #isConnected = false;
  #isHeld = true;

  /** @param targets the ports of the servers that it may lead to: the first one that is up. */
  constructor(near: Socket, targets: readonly number[], onEnd: () => void) {
    this.#near = near;
    this.#targets = [...targets];
    this.#onEnd = onEnd;
    this.#endWith(near);
  }

  pass(): void {
    this.#isHeld = false;
    if (!this.#far) this.#connect();
    else if (this.#isConnected) this.#join(this.#far);
  }

  hold(): void {
    this.#isHeld = true;
    if (this.#far) {
      this.#near.unpipe(this.#far);
      this.#far.unpipe(this.#near);
      this.#far.pause();
    }
    this.#near.pause();
  }

  end(): void {
    this.#near.destroy();
    this.#far?.destroy();
    this.#onEnd();
  }

  #connect(): void {
    const port = this.#targets.shift();
    if (port === undefined) return this.end();
    const far = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.#far = far;
    const onRefused = () => this.#connect();
    far.once("error", onRefused);
    far.once("connect", () => {
      far.off("error", onRefused);
      this.#isConnected = true;
      this.#endWith(far);
      if (!this.#isHeld) this.#join(far);
    });
  }

  #join(far: Socket): void {
    this.#near.pipe(far);
    far.pipe(this.#near);
  }

  /** Whatever ends one end of a connection ends the other, as a broken one does. */
  #endWith(socket: Socket): void {
    socket.on("error", () => this.end());
    socket.on("close", () => this.end());
  }
}

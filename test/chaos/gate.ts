import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * The network between a worker and the servers. While it is cut, connections stay as they are, and nothing passes: what the worker
 * sends is kept, and delivered when the network is whole again, whether the worker still waits for an answer or not.
 */
export interface Gate {
  /** The ports that lead to the servers, in their order. */
  readonly ports: readonly number[];
  cut(): void;
  mend(): void;
  close(): void;
}

/** @param targets the ports of the servers. */
export async function openGate(targets: readonly number[]): Promise<Gate> {
  let isCut = false;
  const wires = new Set<Wire>();
  const listeners = targets.map((target) =>
    createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
      const wire = new Wire(near, target, () => wires.delete(wire));
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
  readonly #target: number;
  #far: Socket | undefined;
  readonly #onEnd: () => void;

  constructor(near: Socket, target: number, onEnd: () => void) {
    this.#near = near;
    this.#target = target;
    this.#onEnd = onEnd;
    this.#endWith(near);
  }

  pass(): void {
    if (!this.#far) {
      this.#far = connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
      this.#endWith(this.#far);
    }
    this.#near.pipe(this.#far);
    this.#far.pipe(this.#near);
  }

  hold(): void {
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

  /** Whatever ends one end of a connection ends the other, as a broken one does. */
  #endWith(socket: Socket): void {
    socket.on("error", () => this.end());
    socket.on("close", () => this.end());
  }
}

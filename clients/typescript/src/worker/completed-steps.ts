import { CompletedStep } from "../api/generated.ts";
import { type Connection, request } from "../api/request.ts";
import { untilAnswered } from "../api/retry.ts";
import type { Claim } from "./job.ts";
import { isSameJson } from "./json.ts";

/** What earlier runs of a job have done. */
export class CompletedSteps {
  readonly #connection: Connection;
  readonly #nodes: ReadonlyMap<string, Claim["completedNodes"][number]>;

  constructor(connection: Connection, { completedNodes }: Claim) {
    this.#connection = connection;
    this.#nodes = new Map(completedNodes.map((node) => [node.nodeId, node]));
  }

  /** @returns the output of a step that an earlier run has done with the same input; null where none has. */
  async find(nodeId: string, input: unknown, signal: AbortSignal): Promise<{ readonly output: unknown } | null> {
    const node = this.#nodes.get(nodeId);
    if (!node) return null;
    const done = node.outputIsLeftOut ? await this.#load(node.stepId, signal) : node;
    return done && isSameJson(done.input, input) ? { output: done.output } : null;
  }

  async #load(id: string, signal: AbortSignal) {
    const { node } = await untilAnswered(() => request(this.#connection, CompletedStep, { id }, { signal }), signal);
    return node?.__typename === "NodeExecution" ? { input: node.inputPayload, output: node.outputPayload } : null;
  }
}

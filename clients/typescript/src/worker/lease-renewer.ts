import { HeartbeatWorkflows, type WorkflowHeartbeatInput } from "../api/generated.ts";
import { request } from "../api/request.ts";
import { successOf } from "../api/result.ts";
import { after, type Moment, msUntil, thisMoment } from "./clock.ts";
import type { FromKeeper, KeeperData, ToKeeper } from "./keeper-messages.ts";
import { LeaseMemory, type StopDirective } from "./lease-memory.ts";
import type { Progress } from "./progress.ts";

/** How long a heartbeat waits for its answer: then the next one is sent, since the connection may be dead. */
const ANSWER_MS = 5_000;
/** The shortest time between two heartbeats of a run that are sent for its progress: more often the server shows none. */
const PROGRESS_MS = 1_000;
const MAX_HEARTBEATS = 100;

interface Held {
  readonly token: string;
  readonly memory: LeaseMemory;
  /** When the next heartbeat is due. */
  due: Moment;
  lastSent: Moment;
  progress: Progress | null;
  /** Whether the next heartbeat says no progress: the last one was not answered, which may be for what it said. */
  omitsProgress: boolean;
}

/** Renews leases: each a third of its time after it was last renewed, several in one request; and sends what runs say of their progress. */
export class LeaseRenewer {
  readonly #data: KeeperData;
  readonly #onStop: (stop: FromKeeper) => void;
  readonly #held = new Map<string, Held>();
  #timer: NodeJS.Timeout | undefined;

  constructor(data: KeeperData, onStop: (stop: FromKeeper) => void) {
    this.#data = data;
    this.#onStop = onStop;
  }

  take(message: ToKeeper): void {
    const held = this.#held.get(message.runId);
    switch (message.type) {
      case "hold": {
        const { runId, token, sentAt, memory } = message;
        const due = after(sentAt, this.#intervalMs);
        this.#held.set(runId, {
          token,
          memory: new LeaseMemory(memory),
          due,
          lastSent: sentAt,
          progress: null,
          omitsProgress: false,
        });
        break;
      }
      case "letGo":
        this.#held.delete(message.runId);
        break;
      case "progress":
        if (!held) return;
        held.progress = message.progress;
        held.due = sooner(held.due, after(held.lastSent, PROGRESS_MS));
    }
    this.#schedule();
  }

  /** Tells a run to stop, if it is still held; it is not renewed any more. */
  stop(runId: string, directive: StopDirective, message: string): void {
    const held = this.#held.get(runId);
    if (!held) return;
    this.#held.delete(runId);
    held.memory.stop(directive);
    this.#onStop({ runId, directive, message });
  }

  get #intervalMs(): number {
    return (this.#data.leaseSeconds * 1000) / 3;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const next = Math.min(...[...this.#held.values()].map(({ due }) => msUntil(due)));
    if (Number.isFinite(next)) this.#timer = setTimeout(() => this.#beatAll(), Math.max(next, 0));
  }

  #beatAll(): void {
    // Those that are due soon come along: a request for each would cost more.
    const soonMs = this.#intervalMs / 10;
    const due = [...this.#held].filter(([, held]) => msUntil(held.due) <= soonMs);
    for (let at = 0; at < due.length; at += MAX_HEARTBEATS) void this.#beat(due.slice(at, at + MAX_HEARTBEATS));
    this.#schedule();
  }

  async #beat(beats: readonly (readonly [string, Held])[]): Promise<void> {
    const sentAt = thisMoment();
    const { connection, leaseSeconds } = this.#data;
    const said = beats.map(([, { progress, omitsProgress }]) => (omitsProgress ? null : progress));
    const heartbeats = beats.map(([workflowRunId, held], at): WorkflowHeartbeatInput => {
      if (!held.omitsProgress) held.progress = null;
      held.omitsProgress = false;
      held.lastSent = sentAt;
      held.due = after(sentAt, this.#intervalMs);
      const progress = said[at];
      return { workflowRunId, leaseToken: held.token, leaseSeconds, ...(progress ? { progress } : {}) };
    });
    try {
      const variables = { input: { heartbeats } };
      const answer = await request(connection, HeartbeatWorkflows, variables, { timeoutMs: ANSWER_MS });
      const { results } = successOf(answer.heartbeatWorkflows);
      for (const { workflowRunId, directive, error } of results) {
        const held = this.#held.get(workflowRunId);
        if (directive !== "CONTINUE") this.stop(workflowRunId, directive, error?.message ?? "The server said so.");
        else if (held) held.memory.deadline = later(held.memory.deadline, after(sentAt, leaseSeconds * 1000));
      }
    } catch {
      // The leases last until their ends, and the next heartbeat may still renew them: soon, since this one did not, and without what
      // runs say, since a message that is refused, or takes a guard too long, must cost no lease.
      for (const [, held] of beats) {
        held.omitsProgress = true;
        held.due = sooner(held.due, after(thisMoment(), this.#intervalMs / 10));
      }
      this.#schedule();
    }
  }
}

const sooner = (one: Moment, other: Moment): Moment => (one.steadyNs < other.steadyNs ? one : other);
const later = (one: Moment, other: Moment): Moment => (one.steadyNs > other.steadyNs ? one : other);

import type { Entry } from "./entries.ts";
import type { Moment } from "./moment.ts";

/** What a worker did in a run later than it may, and at which deadline it should have stopped. */
export interface Overstepped {
  readonly entry: Entry;
  readonly deadline: Moment;
}

interface Held {
  /** The moment from which the lease is reckoned; null for a worker that goes by no clock, by mistake. */
  renewalSentAt: Moment | null;
  readonly leaseMs: number;
}

/**
 * Reads in a worker's journal whether it stopped by its own clock (section 13): no step begins, nothing is sent and no answer counts
 * once the lease may be over, reckoned from the sending of the claim, or of the last renewal that was answered and counted.
 * A renewal without an id counts from its answer: it is a kit's, whose memory of the lease takes it whoever looks, and says until when
 * it lasts, which may have passed already.
 * @returns what it did all the same; and how often it stopped because of it.
 */
export function auditOwnClock(journal: readonly Entry[]): {
  readonly overstepped: readonly Overstepped[];
  readonly stops: readonly Moment[];
} {
  const held = new Map<string, Held>();
  const runOf = new Map<string, string>();
  const renewals = new Map<string, Moment>();
  const overstepped: Overstepped[] = [];
  const stops: Moment[] = [];
  const check = (entry: Entry, workflowRunId: string | undefined, at: Moment) => {
    const { renewalSentAt = null, leaseMs = 0 } = held.get(workflowRunId ?? "") ?? {};
    if (renewalSentAt === null) return;
    const deadline = { steadyMs: renewalSentAt.steadyMs + leaseMs, wallMs: renewalSentAt.wallMs + leaseMs };
    if (at.steadyMs >= deadline.steadyMs || at.wallMs >= deadline.wallMs) overstepped.push({ entry, deadline });
  };
  const prolong = (workflowRunId: string | undefined, sentAt: Moment) => {
    const run = held.get(workflowRunId ?? "");
    if (run?.renewalSentAt && sentAt.steadyMs > run.renewalSentAt.steadyMs) run.renewalSentAt = sentAt;
  };
  for (const entry of journal) {
    switch (entry.type) {
      case "claimed":
        held.set(entry.workflowRunId, { renewalSentAt: entry.sentAt, leaseMs: entry.leaseSeconds * 1000 });
        break;
      case "careless":
        held.set(entry.workflowRunId, { renewalSentAt: null, leaseMs: 0 });
        break;
      case "planned":
        runOf.set(entry.input.reportId, entry.input.workflowRunId);
        break;
      case "sent":
        if (!entry.isLate) for (const id of entry.reportIds) check(entry, runOf.get(id), entry.at);
        break;
      case "answered":
        if (entry.kind === "heartbeat" && entry.code === null) renewals.set(entry.reportId, entry.sentAt);
        if (entry.kind === "renewal" && entry.code === null) prolong(runOf.get(entry.reportId), entry.sentAt);
        break;
      case "begun":
        check(entry, entry.workflowRunId, entry.at);
        break;
      case "counted": {
        check(entry, entry.workflowRunId, entry.at);
        const run = held.get(entry.workflowRunId);
        const renewal = renewals.get(entry.reportId);
        if (run?.renewalSentAt && renewal) run.renewalSentAt = renewal;
        break;
      }
      case "stopped":
        stops.push(entry.at);
        break;
      case "ended":
      case "effect":
      case "unexpected":
        break;
    }
  }
  return { overstepped, stops };
}

import { valueIn } from "../ui/payload.ts";

/** What GET /health says, as far as the page shows it; what a server of another version leaves out is null. */
export interface Health {
  readonly status: "ok" | "degraded" | "unavailable";
  readonly database: { readonly answers: boolean; readonly milliseconds: number };
  readonly feed: {
    readonly subscribers: number | null;
    readonly lastReadMsAgo: number | null;
    readonly behindMs: number | null;
    readonly oldestTransactionMs: number | null;
    readonly heldBackBy: string | null;
  };
  readonly log: { readonly epoch: string; readonly beganAt: string; readonly reason: string } | null;
  readonly lastSweepMsAgo: number | null;
  readonly signals: { readonly kind: string; readonly connected: boolean; readonly since: string } | null;
}

/** @returns what a JSON says of the health; null where it is none. */
export function healthIn(raw: unknown): Health | null {
  const status = STATUSES.find((each) => each === valueIn(raw, "status"));
  const database = valueIn(raw, "database");
  const milliseconds = numberIn(database, "milliseconds");
  if (status === undefined || milliseconds === null) return null;
  const feed = valueIn(raw, "feed");
  return {
    status,
    database: { answers: valueIn(database, "answers") === true, milliseconds },
    feed: {
      subscribers: numberIn(feed, "subscribers"),
      lastReadMsAgo: numberIn(feed, "lastReadMsAgo"),
      behindMs: numberIn(feed, "behindMs"),
      oldestTransactionMs: numberIn(feed, "oldestTransactionMs"),
      heldBackBy: textIn(feed, "heldBackBy"),
    },
    log: logIn(valueIn(raw, "log")),
    lastSweepMsAgo: numberIn(valueIn(raw, "sweeps"), "lastMsAgo"),
    signals: signalsIn(valueIn(raw, "signals")),
  };
}

const STATUSES = ["ok", "degraded", "unavailable"] as const;

function logIn(value: unknown): Health["log"] {
  const [epoch, beganAt, reason] = [textIn(value, "epoch"), textIn(value, "beganAt"), textIn(value, "reason")];
  return epoch === null || beganAt === null || reason === null ? null : { epoch, beganAt, reason };
}

function signalsIn(value: unknown): Health["signals"] {
  const [kind, since] = [textIn(value, "kind"), textIn(value, "since")];
  return kind === null || since === null ? null : { kind, since, connected: valueIn(value, "connected") === true };
}

function numberIn(value: unknown, key: string): number | null {
  const found = valueIn(value, key);
  return typeof found === "number" ? found : null;
}

function textIn(value: unknown, key: string): string | null {
  const found = valueIn(value, key);
  return typeof found === "string" ? found : null;
}

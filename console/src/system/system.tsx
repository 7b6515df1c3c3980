import { useQuery } from "@tanstack/react-query";
import { Failure, Forbidden } from "../ui/failure.tsx";
import { Fold } from "../ui/fold.tsx";
import { Json } from "../ui/json.tsx";
import { whole } from "../ui/numbers.ts";
import { At, clock, duration } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import type { Health } from "./health.ts";
import { NotAllowed, readHealth } from "./read-health.ts";

const LOOK_MS = 2000;

/** How the server is: the same as its monitors read. */
export default function System() {
  const { data, error, dataUpdatedAt, refetch } = useQuery({
    queryKey: ["health"],
    queryFn: ({ signal }) => readHealth(signal),
    refetchInterval: LOOK_MS,
    retry: false,
  });
  return (
    <>
      <h1>Health</h1>
      {error instanceof NotAllowed ? (
        <Forbidden why={error.message} />
      ) : (
        error && <Failure error={error} retry={() => void refetch()} />
      )}
      {error && data && <p className="banner banner-warn">Showing {clock(dataUpdatedAt)}.</p>}
      {!data && !error && <Waiting what="The health of the server" />}
      {data?.health && <Status health={data.health} />}
      {data && !data.health && (
        <p className="notice notice-error" role="alert">
          The server’s answer is not one that this console knows. All of it is below.
        </p>
      )}
      {data && (
        <Fold title="Raw report">
          <Json value={data.raw} what="health" />
        </Fold>
      )}
    </>
  );
}

const STATUSES = {
  ok: { look: "badge badge-good", text: "✓ All is well" },
  degraded: { look: "badge badge-warn", text: "! Late" },
  unavailable: { look: "badge badge-bad", text: "✕ The database does not answer" },
} as const satisfies Record<Health["status"], { look: string; text: string }>;

const MEANINGS = {
  ok: "Requests are served, changes are live, and lost leases are recovered in time.",
  degraded: "Requests are served, but live changes or the recovery of lost leases may be late.",
  unavailable: "No request can be served until the database is there again.",
} as const satisfies Record<Health["status"], string>;

function Status({ health: { status, database, feed, log, lastSweepMsAgo, signals } }: { readonly health: Health }) {
  const { look, text } = STATUSES[status];
  return (
    <>
      <p className="bar" role="status">
        <strong className={look}>{text}</strong> {MEANINGS[status]}
      </p>
      <div className="columns">
        <section className="card" aria-labelledby="health-now">
          <h2 id="health-now">Now</h2>
          <dl className="facts">
            <dt>Database</dt>
            <dd>{database.answers ? `answers in ${whole(database.milliseconds)} ms` : "does not answer"}</dd>
            <dt>Live changes (feed)</dt>
            <dd>
              {feed.behindMs === null
                ? "not known"
                : feed.behindMs === 0
                  ? "0 ms behind"
                  : `${duration(feed.behindMs)} behind`}
              {feed.subscribers !== null && `, ${whole(feed.subscribers)} who watch`}
              {feed.lastReadMsAgo !== null && `, last read ${duration(feed.lastReadMsAgo)} ago`}
            </dd>
            {feed.heldBackBy !== null && (
              <>
                <dt>Held back by</dt>
                <dd dir="auto">{feed.heldBackBy}</dd>
              </>
            )}
            {feed.oldestTransactionMs !== null && feed.oldestTransactionMs > 0 && (
              <>
                <dt>Oldest transaction</dt>
                <dd>{duration(feed.oldestTransactionMs)}</dd>
              </>
            )}
            <dt>Lost leases</dt>
            <dd>{lastSweepMsAgo === null ? "not known" : `last looked for ${duration(lastSweepMsAgo)} ago`}</dd>
            {signals && (
              <>
                <dt>Other servers</dt>
                <dd>
                  {SIGNALS[signals.kind] ?? signals.kind}
                  {signals.kind !== "in_process" && (
                    <>
                      , {signals.connected ? "connected" : "not connected"} since <At at={signals.since} />
                    </>
                  )}
                </dd>
              </>
            )}
          </dl>
        </section>
        {log && (
          <section className="card" aria-labelledby="health-log">
            <h2 id="health-log">Event log</h2>
            <dl className="facts">
              <dt>Epoch</dt>
              <dd>
                <code>{log.epoch}</code>
              </dd>
              <dt>Began</dt>
              <dd>
                <At at={log.beganAt} />
              </dd>
              <dt>Because</dt>
              <dd dir="auto">{log.reason}</dd>
            </dl>
          </section>
        )}
      </div>
    </>
  );
}

/** How servers of a deployment tell each other of changes. */
const SIGNALS: Readonly<Record<string, string>> = {
  in_process: "none: this process alone",
  polling: "looked for in the database",
};

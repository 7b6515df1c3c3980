import { Link } from "wouter";
import { Empty } from "../ui/empty.tsx";
import { Failure } from "../ui/failure.tsx";
import { valueIn } from "../ui/payload.ts";
import { Scrolls } from "../ui/scrolls.tsx";
import { ShortId } from "../ui/short-id.tsx";
import { Ago } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { useLeaseLosses } from "./use-workers.ts";

/** The runs that were taken back because their worker was not heard of: each is a crash, a hang, or a lease that is too short. */
export function LeaseLosses() {
  const { data: losses, error, refetch } = useLeaseLosses();
  return (
    <section className="card" aria-labelledby="losses">
      <h2 id="losses">Lease losses</h2>
      {error && <Failure error={error} retry={() => void refetch()} />}
      {!losses && !error && <Waiting what="The list of lease losses" />}
      {losses?.length === 0 && <Empty>No run was taken back from a worker.</Empty>}
      {losses && losses.length > 0 && (
        <Scrolls label="The latest lease losses">
          <table>
            <thead>
              <tr>
                <th scope="col">Taken back</th>
                <th scope="col">Worker</th>
                <th scope="col" className="numeric">
                  Attempt
                </th>
                <th scope="col">Last heard of</th>
                <th scope="col">Lease ended</th>
                <th scope="col">Job</th>
              </tr>
            </thead>
            <tbody>
              {losses.map(({ eventId, jobId, recordedAt, payload }) => (
                <tr key={eventId}>
                  <td>
                    <Ago at={recordedAt} />
                  </td>
                  <th scope="row">
                    <bdi>{text(valueIn(payload, "worker_id"))}</bdi>
                  </th>
                  <td className="numeric">{text(valueIn(payload, "attempt"))}</td>
                  <td>
                    <When value={valueIn(payload, "last_heartbeat")} />
                  </td>
                  <td>
                    <When value={valueIn(payload, "lease_expired_at")} />
                  </td>
                  <td>
                    <Link href={`/jobs/${jobId}`}>
                      <ShortId id={jobId} />
                    </Link>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scrolls>
      )}
    </section>
  );
}

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function When({ value }: { readonly value: unknown }) {
  return typeof value === "string" ? <Ago at={value} /> : null;
}

import { Link } from "wouter";
import { useSession } from "../api/session.ts";
import { kindWord } from "../ui/kind.ts";
import { money, whole } from "../ui/numbers.ts";
import { State } from "../ui/state.tsx";
import { Ago } from "../ui/time.tsx";
import type { WholeJob } from "./use-job-view.ts";

/** The jobs that this one has submitted; each has its own page, and its own below it. */
export function Children({ job: { jobId, children } }: { readonly job: WholeJob }) {
  const { currency } = useSession().viewer;
  if (children.totalCount === 0) return null;
  return (
    <section className="card" aria-labelledby="children">
      <h2 id="children">Jobs that it has submitted: {whole(children.totalCount)}</h2>
      <ul>
        {children.nodes.map(({ jobId: childId, jobKind, protocolId, state, statusReason, costMicros, createdAt }) => (
          <li key={childId} className="bar">
            <State state={state} />
            <Link href={`/jobs/${childId}`}>{kindWord(jobKind)}</Link>
            <bdi className="quiet">{protocolId}</bdi>
            <span dir="auto">{statusReason}</span>
            <span>{money(costMicros, currency)}</span>
            <Ago at={createdAt} />
          </li>
        ))}
      </ul>
      {children.totalCount > children.nodes.length && <Link href={`/?parent=${jobId}`}>All of them</Link>}
    </section>
  );
}

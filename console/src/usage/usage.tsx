import { AiJobUsage } from "@ai-job-server/sdk/client";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo } from "react";
import { Link, useSearchParams } from "wouter";
import { useMay, useSession } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure, Forbidden } from "../ui/failure.tsx";
import { OperationLink } from "../ui/operation-link.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { csvOf } from "./csv.ts";
import { groupsOf, type Row } from "./groups.ts";
import { type Asked, boundsOf, readAsked, variablesOf } from "./query.ts";
import { save } from "./save.ts";
import { usageLines } from "./usage-csv.ts";
import { UsageFilter } from "./usage-filter.tsx";
import { UsageTable, WORDS } from "./usage-table.tsx";

/** Drawn by a library that the numbers need not wait for. */
const UsageChart = lazy(() => import("./usage-chart.tsx"));

const NO_LABELS: readonly string[] = [];

/** What the workspace has used, over time, and by whom. */
export default function Usage() {
  const mayRead = useMay("JOBS_READ");
  const { client, viewer } = useSession();
  const [params] = useSearchParams();
  const asked = useMemo(() => readAsked(params, new Date()), [params]);
  const labels = viewer.workspace?.usageLabels ?? NO_LABELS;
  const variables = variablesOf(asked, labels);
  const { data, error, isPlaceholderData, refetch } = useQuery({
    queryKey: ["usage", variables],
    queryFn: async ({ signal }) => {
      if (!variables) return [];
      return (await client.request(AiJobUsage, variables, { signal })).aiJobUsage;
    },
    enabled: mayRead && variables !== null,
    placeholderData: keepPreviousData,
  });
  const isCurrent = data !== undefined && !isPlaceholderData && variables !== null && !error;
  const { from, to } = boundsOf(asked);
  if (!mayRead) return <Forbidden why="Your key does not allow you to see usage (JOBS_READ)." />;
  return (
    <>
      <div className="title">
        <h1>Usage</h1>
        {variables && <OperationLink operation={AiJobUsage} variables={variables} />}
      </div>
      <UsageFilter asked={asked} labels={labels} />
      <p className="quiet">Days and hours are those of UTC.</p>
      {variables === null && (
        <Empty>
          This workspace counts usage by no label yet. A key that may set quotas (QUOTAS_MANAGE) can choose labels under{" "}
          <Link href="/keys">Keys and workspaces</Link>. Later usage is then counted by them.
        </Empty>
      )}
      {error && <Failure error={error} retry={() => void refetch()} />}
      {variables && !isCurrent && !error && <Waiting what="What was used" />}
      {isCurrent && data.length === 0 && (
        <Empty command="seed">
          Nothing was used in this period. In an empty workspace this makes jobs that use something:
        </Empty>
      )}
      {isCurrent && data.length > 0 && <Used rows={data} asked={asked} currency={viewer.currency} />}
      <p>
        <Link href={`/?order=costliest&from=${encodeURIComponent(from)}&until=${encodeURIComponent(to)}`}>
          Jobs that cost most in this period
        </Link>
      </p>
    </>
  );
}

interface UsedProps {
  readonly rows: readonly Row[];
  readonly asked: Asked;
  readonly currency: string;
}

function Used({ rows, asked, currency }: UsedProps) {
  const { by, show, from, to } = asked;
  const groups = useMemo(() => groupsOf(rows, by, show), [rows, by, show]);
  const download = () => {
    const lines = usageLines(rows, by, by === null ? "of" : WORDS[by], currency);
    save(csvOf(lines), `usage-${from}-${to}.csv`, "text/csv;charset=utf-8");
  };
  // The server gives a larger sum as the largest number that every client reads exactly.
  const isCut = rows.some(({ costMicros, metrics }) =>
    [costMicros, metrics.totalTokens].includes(Number.MAX_SAFE_INTEGER),
  );
  return (
    <>
      <section className="card" aria-label="Over time">
        <Suspense fallback={<Waiting what="The chart" />}>
          <UsageChart groups={groups} asked={asked} currency={currency} />
        </Suspense>
      </section>
      {isCut && (
        <p className="banner banner-warn">A sum is too large for the server: the real one is at least what is shown.</p>
      )}
      <UsageTable groups={groups} by={by} currency={currency} />
      <div className="bar">
        <Button onPress={download}>Download as CSV</Button>
        <span className="quiet">
          A line for each {asked.interval.toLowerCase()}. costMicros is the cost in millionths of the currency; cost is
          the same amount in the currency.
        </span>
      </div>
    </>
  );
}

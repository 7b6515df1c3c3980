import type { EventFragment } from "@ai-job-server/sdk/client";
import { useMemo } from "react";
import { Chart } from "../ui/chart.tsx";
import { whole } from "../ui/numbers.ts";

/** What a job has used over its time, by planners and by executors. */
export default function MetricsChart({ events }: { readonly events: readonly EventFragment[] }) {
  const { times, planner, executor } = useMemo(
    () => ({
      times: events.map(({ recordedAt }) => Date.parse(recordedAt) / 1000),
      planner: events.map(({ metrics }) => metrics.tokensPlanner),
      executor: events.map(({ metrics }) => metrics.tokensExecutor),
    }),
    [events],
  );
  const last = events.at(-1)?.metrics;
  return (
    <figure>
      <figcaption className="quiet">Tokens by planners and executors, over time</figcaption>
      <Chart
        label={`Tokens over time: ${whole(last?.tokensPlanner ?? 0)} by planners and ${whole(last?.tokensExecutor ?? 0)} by executors in the end.`}
        times={times}
        series={[
          { name: "planners", values: planner },
          { name: "executors", values: executor },
        ]}
        isStepped
      />
    </figure>
  );
}

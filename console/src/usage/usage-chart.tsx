import { useMemo } from "react";
import { Chart } from "../ui/chart.tsx";
import { type Group, linesOf } from "./groups.ts";
import type { Asked } from "./query.ts";

export interface UsageChartProps {
  readonly groups: readonly Group[];
  readonly asked: Asked;
  readonly currency: string;
}

/** What each group has used, over time. */
export default function UsageChart({ groups, asked, currency }: UsageChartProps) {
  const { times, lines } = useMemo(() => linesOf(groups, asked, Date.now()), [groups, asked]);
  const what = asked.show === "cost" ? `Cost in ${currency}` : "Tokens";
  return (
    <figure>
      <figcaption className="quiet">
        {what}, by the {asked.interval.toLowerCase()}
      </figcaption>
      <Chart
        label={`${what} over time; the table below has the numbers.`}
        times={times}
        series={lines}
        isStepped
        isUtc
      />
    </figure>
  );
}

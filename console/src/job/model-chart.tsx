import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { JobModelUsage } from "../api/generated.ts";
import { useClient } from "../api/session.ts";
import { Chart } from "../ui/chart.tsx";
import { Failure } from "../ui/failure.tsx";
import { Choice } from "../ui/fields.tsx";
import { modelName } from "../ui/model-name.ts";
import { money, whole } from "../ui/numbers.ts";
import { Waiting } from "../ui/waiting.tsx";
import type { Measure } from "../usage/query.ts";
import { modelLines, tokensOf, type UsedJob } from "./model-lines.ts";
import type { WholeJob } from "./use-job-view.ts";

/** What a job has used over its time, by model: its money, or its tokens. */
export default function ModelChart({ job, currency }: { readonly job: WholeJob; readonly currency: string }) {
  const client = useClient();
  const [show, setShow] = useState<Measure>(job.costMicros > 0 ? "cost" : "tokens");
  const { jobId } = job;
  const { data, error, refetch } = useQuery({
    queryKey: ["model-usage", jobId],
    queryFn: async ({ signal }) => (await client.request(JobModelUsage, { jobId }, { signal })).aiJob,
  });
  if (error && !data) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Waiting what="The chart by model" />;
  return (
    <figure>
      <figcaption className="filters">
        <Choice
          label="By model, over time"
          options={[
            { value: "cost", text: `Cost in ${currency}` },
            { value: "tokens", text: "Tokens" },
          ]}
          value={show}
          onChange={setShow}
        />
      </figcaption>
      <Lines job={data} show={show} currency={currency} />
    </figure>
  );
}

interface LinesProps {
  readonly job: UsedJob;
  readonly show: Measure;
  readonly currency: string;
}

function Lines({ job, show, currency }: LinesProps) {
  const { times, lines } = useMemo(() => modelLines(job, show, Date.parse(job.endedAt ?? job.updatedAt)), [job, show]);
  const ends = job.modelUsage.map(
    (usage) =>
      `${show === "cost" ? money(usage.costMicros, currency) : whole(tokensOf(usage))} by ${modelName(usage.provider, usage.model)}`,
  );
  return (
    <Chart
      label={`${show === "cost" ? "Cost" : "Tokens"} over time by model: ${ends.join(", ")} in the end.`}
      times={times}
      series={lines}
      isStepped
    />
  );
}

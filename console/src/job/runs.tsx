import { CompletedStep } from "@ai-job-server/sdk/client";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { useClient } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure } from "../ui/failure.tsx";
import { Json } from "../ui/json.tsx";
import { State } from "../ui/state.tsx";
import { Ago, duration } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { failedSteps } from "./failed-steps.ts";
import type { WholeJob } from "./use-job-view.ts";

const StepGraph = lazy(() => import("./step-graph.tsx"));

export type Run = WholeJob["workflowRuns"]["nodes"][number];
export type Step = Run["steps"][number];

/** Each run of a job, with its steps as a graph and as a list. */
export function Runs({ job }: { readonly job: WholeJob }) {
  const runs = job.workflowRuns.nodes;
  const [chosen, setChosen] = useState<string | null>(null);
  const [stepId, setStepId] = useState<string | null>(null);
  const run = runs.find(({ workflowRunId }) => workflowRunId === chosen) ?? runs[0];
  if (!run) return <Empty>No worker has claimed it yet.</Empty>;
  const why = failedSteps(run.state, run.steps);
  const step = run.steps.find(({ id }) => id === stepId);
  return (
    <>
      <ul>
        {runs.map((each) => (
          <li key={each.workflowRunId} className="bar">
            <Button
              look={each === run ? "primary" : "plain"}
              aria-pressed={each === run}
              onPress={() => setChosen(each.workflowRunId)}
            >
              Run {each.attempt}
            </Button>
            <State state={each.state} />
            <bdi>{each.workerId}</bdi>
            <Ago at={each.startedAt} />
            <span className="quiet" dir="auto">
              {each.finishedAt
                ? `${duration(Date.parse(each.finishedAt) - Date.parse(each.startedAt))}, ${each.endReason ?? ""} ${each.errorMessage ?? ""}`
                : "last heard of "}
            </span>
            {!each.finishedAt && <Ago at={each.lastHeartbeat} />}
          </li>
        ))}
      </ul>
      {run.steps.length > 0 ? (
        <>
          {why && <p>{why}</p>}
          <Suspense fallback={<Waiting what="The graph" />}>
            <StepGraph steps={run.steps} chosen={stepId} onChoose={setStepId} />
          </Suspense>
          <ol aria-label="Steps">
            {run.steps.map((each) => (
              <li key={each.id} className="bar">
                <Button look="plain" aria-pressed={each.id === stepId} onPress={() => setStepId(each.id)}>
                  {each.nodeId}
                </Button>
                <State state={each.state} />
                <span className="quiet">
                  {each.nodeType}
                  {each.finishedAt && `, ${duration(Date.parse(each.finishedAt) - Date.parse(each.startedAt))}`}
                </span>
                <span dir="auto">{each.errorMessage}</span>
              </li>
            ))}
          </ol>
        </>
      ) : (
        <p className="quiet">It has reported no steps.</p>
      )}
      {step && <StepContent step={step} />}
    </>
  );
}

/** What a step took and gave. */
function StepContent({ step }: { readonly step: Step }) {
  const client = useClient();
  const { data, error } = useQuery({
    queryKey: ["step", step.id, step.state],
    queryFn: ({ signal }) => client.request(CompletedStep, { id: step.id }, { signal }),
  });
  if (error) return <Failure error={error} />;
  if (!data) return <Waiting what="The step" />;
  const node = data.node?.__typename === "NodeExecution" ? data.node : null;
  return (
    <div className="columns">
      <section aria-label={`What ${step.nodeId} took`}>
        <h3>{step.nodeId} took</h3>
        <Json value={node?.inputPayload} what={`input of ${step.nodeId}`} />
      </section>
      <section aria-label={`What ${step.nodeId} gave`}>
        <h3>and gave</h3>
        <Json value={node?.outputPayload} what={`output of ${step.nodeId}`} />
      </section>
    </div>
  );
}

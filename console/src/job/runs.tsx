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
import { reasonText } from "./event-text.ts";
import { failedSteps } from "./failed-steps.ts";
import type { WholeJob } from "./use-job-view.ts";

const StepGraph = lazy(() => import("./step-graph.tsx"));

export type Run = WholeJob["workflowRuns"]["nodes"][number];
export type Step = Run["steps"][number];

/** What the API calls a cancelled run, though nobody cancelled it: its worker gave the job back, or the job goes on after an answer. */
const HANDED_BACK: ReadonlyMap<string, string> = new Map([
  ["released", "Given back"],
  ["answered", "Asked, and was answered"],
]);

/** The latest runs of a job, each with its steps as a graph and as a list. */
export function Runs({ job }: { readonly job: WholeJob }) {
  const runs = job.workflowRuns.nodes;
  const [chosen, setChosen] = useState<string | null>(null);
  const [stepId, setStepId] = useState<string | null>(null);
  const run = runs.find(({ workflowRunId }) => workflowRunId === chosen) ?? runs.at(-1);
  if (!run)
    return <Empty>{job.endedAt === null ? "No worker has claimed it yet." : "No worker has claimed it."}</Empty>;
  const before = Math.min(...runs.map(({ attempt }) => attempt)) - 1;
  const why = failedSteps(run.state, run.steps);
  const step = run.steps.find(({ id }) => id === stepId);
  return (
    <>
      {before > 0 && (
        <p className="quiet">The {before === 1 ? "first run is" : `first ${before} runs are`} not shown.</p>
      )}
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
            <RunEnd run={each} />
            <bdi>{each.workerId}</bdi>
            <Ago at={each.startedAt} />
            <span className="quiet" dir="auto">
              {each.finishedAt
                ? `${duration(Date.parse(each.finishedAt) - Date.parse(each.startedAt))}${whyEnded(each)}`
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

/** How a run stands. */
function RunEnd({ run: { state, endReason } }: { readonly run: Run }) {
  const handedBack = endReason === null ? undefined : HANDED_BACK.get(endReason);
  return handedBack === undefined ? <State state={state} /> : <span className="badge">{handedBack}</span>;
}

/** @returns what there is to say of a run's end beyond how it stands. */
function whyEnded({ state, endReason, errorMessage }: Run): string {
  const isSaid = endReason === null || endReason === state.toLowerCase() || HANDED_BACK.has(endReason);
  const parts = [...(isSaid ? [] : [reasonText(endReason)]), ...(errorMessage === null ? [] : [errorMessage])];
  return parts.map((part) => `, ${part}`).join("");
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

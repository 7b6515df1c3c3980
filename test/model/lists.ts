import fc from "fast-check";
import { expect } from "vitest";
import { JobState } from "../../src/db/generated/client/enums.ts";
import { METRIC_NAMES } from "../../src/db/job-columns.ts";
import { graphql } from "../generated/gql.ts";
import { run } from "../support/server.ts";
import type { Real } from "./real.ts";
import { type Job, type Label, sumMetrics, type World } from "./world.ts";

/** Compares what the API shows of a whole workspace with the model: filtered lists, counts and sums. */

const LISTS = graphql(`
  query ModelLists($filter: AiJobFilter, $stats: AiJobFilter) {
    all: aiJobs(first: 100) { nodes { jobId submittedBy labels { key value } } totalCount }
    some: aiJobs(first: 100, filter: $filter) { nodes { jobId submittedBy labels { key value } } totalCount }
    aiJobStats(filter: $stats) {
      total
      byState { state count }
      byKind { jobKind count }
      metrics {
        durationMs totalTokens inputTokens outputTokens tokensPlanner tokensExecutor entitiesRead entitiesWritten
        validatorsRunCount
      }
    }
  }
`);

const KINDS: readonly Job["submit"]["kind"][] = ["DOC_SUMMARIZE", "DOC_EDIT", "TERMINAL_EXEC"];

export interface Filter {
  readonly workspace: number;
  readonly states: readonly JobState[] | null;
  readonly kinds: readonly Job["submit"]["kind"][] | null;
  readonly labels: readonly Label[] | null;
  readonly submittedBy: string | null;
}

const TEAM: Label = { key: "team", value: "search" };

export const filters: fc.Arbitrary<Filter> = fc.record({
  workspace: fc.constantFrom(0, 0, 1, 2),
  states: fc.option(fc.subarray(Object.values(JobState), { minLength: 1 })),
  kinds: fc.option(fc.subarray([...KINDS], { minLength: 1 })),
  labels: fc.option(fc.subarray([TEAM, { key: "env", value: "" }], { minLength: 1 }), { freq: 1 }),
  submittedBy: fc.option(fc.constantFrom("anonymous", "key:1"), { freq: 1 }),
});

export async function expectSameLists(world: World, real: Real, url: string, jobFilter: Filter): Promise<void> {
  const { workspace, states, kinds, labels, submittedBy } = jobFilter;
  const jobs = world.jobs.filter(({ submit }) => submit.workspace === workspace);
  const matching = jobs.filter(
    (job) =>
      (states?.includes(job.state) ?? true) &&
      (kinds?.includes(job.submit.kind) ?? true) &&
      (labels?.every(({ key, value }) => job.labels.some((label) => label.key === key && label.value === value)) ??
        true) &&
      (submittedBy ?? job.submit.by) === job.submit.by,
  );
  const lists = { states: states && [...states], kinds: kinds && [...kinds], labels: labels && [...labels] };
  const filter = { ...lists, submittedBy };
  const variables = { filter, stats: filter };
  const answer = await run(url, LISTS, variables, { "x-workspace-id": real.workspaceId(workspace) });
  expect(answer.all).toEqual(newestFirst(jobs, real));
  expect(answer.some).toEqual(newestFirst(matching, real));
  const { aiJobStats: stats } = answer;
  expect(stats.total).toBe(matching.length);
  expect(countsOf(stats.byState.map(({ state, count }) => [state, count]))).toEqual(
    count(matching, ({ state }) => state),
  );
  expect(countsOf(stats.byKind.map(({ jobKind, count: jobs }) => [jobKind, jobs]))).toEqual(
    count(matching, ({ submit: { kind } }) => kind),
  );
  for (const name of METRIC_NAMES) expect([name, stats.metrics[name]]).toEqual([name, sumMetrics(matching)[name]]);
}

function newestFirst(jobs: readonly Job[], real: Real) {
  const nodes = jobs.map(({ number, submit, labels }) => ({
    jobId: real.jobId(number),
    submittedBy: submit.by,
    labels,
  }));
  return { nodes: nodes.toReversed(), totalCount: jobs.length };
}

function count(jobs: readonly Job[], by: (job: Job) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const job of jobs) counts.set(by(job), (counts.get(by(job)) ?? 0) + 1);
  return counts;
}

const countsOf = (entries: readonly (readonly [string, number])[]): ReadonlyMap<string, number> => new Map(entries);

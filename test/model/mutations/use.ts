import fc from "fast-check";
import type { ModelCall } from "../../../src/jobs/usage/model-usage.ts";
import { reportUsage } from "../../../src/runs/report-usage.ts";
import { calls, type Draw, pick, pickFrom, reportId } from "../draw.ts";
import { endActive } from "../endings.ts";
import { SOME_TEXT } from "../payload.ts";
import { metrics, type Real } from "../real.ts";
import { earlierOf, LEASE_LOST, type Report, remember } from "../reports.ts";
import { type Answer, deltaOf, grow, INVALID_INPUT, isOverBudget, use } from "../rules.ts";
import { report } from "../step.ts";
import { agent, change, hasEnded, holdsLease, type Run, SYSTEM_ACTOR, type World } from "../world.ts";

interface Usage extends Report {
  readonly reportId: number;
  readonly usage: readonly ModelCall[];
}

/** Section 14: what was used is counted, whatever has become of the run. */
export const useModels = report<Usage>("useModels", { expected, actual });

function expected(world: World, input: Usage): Answer {
  const run = world.claims[input.run];
  if (!run || input.token !== input.run) return LEASE_LOST;
  const { job } = run;
  const isLate = !holdsLease(run);
  const { earlier, same } = earlierOf(run, "use", input);
  if (earlier && !same) return INVALID_INPUT;
  if (!same && !count(run, input, isLate)) return INVALID_INPUT;
  return { job: job.number, state: job.state, version: job.version, isLate };
}

/** Counts the calls of a new report. @returns whether they could be counted. */
function count(run: Run, input: Usage, isLate: boolean): boolean {
  const { job } = run;
  const delta = deltaOf(input.usage);
  if (job.state === "POISONED") use(run, delta);
  else {
    const grown = grow(job.metrics, delta);
    if (!grown) return false;
    const { usage: _calls, ...added } = metrics(delta);
    const payload = { delta: added, ...(isLate ? { is_late: true } : {}), ...use(run, delta) };
    change(job, "METRICS_RECORDED", agent(run), { metrics: grown }, payload, null, run.attempt);
    if (!hasEnded(job) && isOverBudget(job, grown)) {
      endActive(job, "FAILED", true, "budget_exceeded");
      const set = {
        state: "FAILED",
        reason: "budget_exceeded",
        hasError: true,
        outputs: null,
        runAfter: "none",
      } as const;
      change(job, "STATE_CHANGED", SYSTEM_ACTOR, set, { ace_code: "ACE-001", detail: SOME_TEXT });
    }
  }
  remember(run, "use", input, null);
  return true;
}

async function actual(real: Real, input: Usage): Promise<object> {
  const { workflowRunId, leaseToken, reportId: id } = real.proof(input);
  if (id === null) throw new Error("A report of usage has an id.");
  const result = await reportUsage(real.engine, { workflowRunId, leaseToken, reportId: id, usage: input.usage });
  return real.answer(result, ({ job, isLate }) => {
    return { job: real.numberOf(job), state: job.state, version: job.version, isLate };
  });
}

/** Of any run, whatever has become of it. The ids are mostly none that other reports have. */
export const uses: fc.Arbitrary<Draw> = fc
  .record({ of: pick, token: pick, own: fc.integer({ min: 100, max: 1_000_000 }), shared: reportId, usage: calls })
  .map(
    ({ of, token, own, shared, usage }): Draw =>
      ({ claims }) => {
        const run = pickFrom(claims, of, () => true);
        if (run === null) return null;
        const drawn = { run, token: pickFrom(claims, token, () => false) ?? run, usage };
        return useModels({ ...drawn, reportId: shared ?? own });
      },
  );

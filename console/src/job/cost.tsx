import { modelName } from "../ui/model-name.ts";
import { money, whole } from "../ui/numbers.ts";
import { duration } from "../ui/time.tsx";
import type { WholeJob } from "./use-job-view.ts";

/** What a job used: its metrics, and each model with its money. */
export function Cost({ job, currency }: { readonly job: WholeJob; readonly currency: string }) {
  const { metrics, modelUsage, costMicros, costBudgetMicros, tokenBudget } = job;
  return (
    <>
      <dl className="facts">
        <dt>Cost</dt>
        <dd>
          {money(costMicros, currency)}
          {costBudgetMicros !== null && ` of ${money(costBudgetMicros, currency)}`}
        </dd>
        <dt>Tokens</dt>
        <dd>
          {whole(metrics.totalTokens)}
          {tokenBudget !== null && ` of ${whole(tokenBudget)}`}
          {metrics.tokensPlanner + metrics.tokensExecutor > 0 &&
            `: ${whole(metrics.tokensPlanner)} by planners, ${whole(metrics.tokensExecutor)} by executors`}
        </dd>
        <dt>Entities</dt>
        <dd>
          {whole(metrics.entitiesRead)} read, {whole(metrics.entitiesWritten)} written
        </dd>
        <dt>Validators</dt>
        <dd>{whole(metrics.validatorsRunCount)} run</dd>
        <dt>Time</dt>
        <dd>
          {duration(metrics.durationMs)} reported; {duration(job.queuedMs)} queued, {duration(job.runMs)} running
        </dd>
      </dl>
      {modelUsage.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
        <section className="scrolls" tabIndex={0} aria-label="By model">
          <table>
            <thead>
              <tr>
                <th scope="col">Model</th>
                <th scope="col" className="numeric">
                  Calls
                </th>
                <th scope="col" className="numeric">
                  Tokens in, not cached
                </th>
                <th scope="col" className="numeric">
                  in, from a cache
                </th>
                <th scope="col" className="numeric">
                  out
                </th>
                <th scope="col" className="numeric">
                  reasoning
                </th>
                <th scope="col" className="numeric">
                  Cost
                </th>
              </tr>
            </thead>
            <tbody>
              {modelUsage.map((usage) => (
                <tr key={`${usage.provider} ${usage.model}`}>
                  <th scope="row">
                    <bdi>{modelName(usage.provider, usage.model)}</bdi>
                  </th>
                  <td className="numeric">{whole(usage.calls)}</td>
                  <td className="numeric">{whole(usage.inputTokens)}</td>
                  <td className="numeric">{whole(usage.cachedInputTokens)}</td>
                  <td className="numeric">{whole(usage.outputTokens)}</td>
                  <td className="numeric">{whole(usage.reasoningTokens)}</td>
                  <td className="numeric">{money(usage.costMicros, currency)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </>
  );
}

import type { Claim } from "../../../src/claims/acquire-lease.ts";
import { claimAiJobs } from "../../../src/claims/claim.ts";
import type { EngineContext } from "../../../src/engine.ts";
import { AppError, TryAgainError } from "../../../src/errors.ts";
import { cancelAiJob } from "../../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../../src/jobs/metrics.ts";
import { submitAiJob } from "../../../src/jobs/submit.ts";
import { advanceWorkflow } from "../../../src/runs/advance.ts";
import { completeWorkflows } from "../../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../../src/runs/heartbeat.ts";
import { testSide } from "../../support/database.ts";
import { aStep, aSubmit, SOMEBODY, WORKSPACE } from "../../support/engine.ts";
import { failWorkflow } from "../../support/reports.ts";
import type { Command, Report } from "./step.ts";

/** The people and workers who ask for commands. They remember what they were given, also where the database does not. */
export class Callers {
  readonly #engine: EngineContext;
  readonly #claims: Claim[] = [];

  constructor(engine: EngineContext) {
    this.#engine = engine;
  }

  /** Sends a command. @returns the code of its refusal; undefined where it was done, or there was nothing to ask for. */
  async send(command: Command): Promise<string | undefined> {
    try {
      const answer = await this.#send(command);
      return answer instanceof AppError ? answer.code : undefined;
    } catch (error) {
      if (error instanceof TryAgainError) return error.code;
      throw error;
    }
  }

  async #send(command: Command): Promise<unknown> {
    switch (command.does) {
      case "submit":
        return submitAiJob(this.#engine, WORKSPACE, SOMEBODY, aSubmit({ jobKind: command.kind }));
      case "claim": {
        const worker = { workspaceId: WORKSPACE, workerId: "worker-1", leaseSeconds: 900, jobKinds: null };
        this.#claims.push(...(await claimAiJobs(this.#engine, { ...worker, limit: command.limit })).claims);
        return undefined;
      }
      case "cancel": {
        const jobId = await this.jobId(command.job);
        return cancelAiJob(this.#engine, WORKSPACE, SOMEBODY, { jobId, reason: "no longer wanted" });
      }
      case "advance":
      case "heartbeat":
      case "complete":
      case "fail": {
        const claim = this.#claims.at(-1 - (command.claim % this.#claims.length));
        return claim && this.#report(command.does, claim, command.tokens);
      }
    }
  }

  async #report(report: Report, claim: Claim, tokens: number): Promise<unknown> {
    const { leaseToken, run } = claim;
    const common = { workflowRunId: run.id, leaseToken, metrics: { ...NO_METRICS, inputTokens: tokens } };
    switch (report) {
      case "advance":
        return advanceWorkflow(this.#engine, {
          ...aStep(claim, "read", { outcome: tokens % 2 === 0 ? "STARTED" : "SUCCEEDED" }),
          metrics: common.metrics,
        });
      case "heartbeat":
        return (await heartbeatWorkflows(this.#engine, [{ ...common, leaseSeconds: 900 }]))[0]?.error;
      case "complete":
        return (
          await completeWorkflows(this.#engine, [{ ...common, jobOutputs: null, writtenEntities: [], issues: [] }])
        )[0];
      case "fail":
        return failWorkflow(this.#engine, { ...common, errorMessage: "out of memory", retryable: tokens % 2 === 0 });
    }
  }

  /** The id of one of the jobs that there are. There always is one. */
  async jobId(back: number): Promise<string> {
    const jobs = await testSide(this.#engine).aiJob.findMany({ select: { jobId: true }, orderBy: { jobId: "desc" } });
    return jobs[back % jobs.length]?.jobId ?? "";
  }
}

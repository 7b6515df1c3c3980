import type { TypedDocument } from "../api/document.ts";
import { JobServerError, UnansweredError } from "../api/errors.ts";
import {
  AdvanceWorkflow,
  CompleteWorkflows,
  type EntityRefInput,
  FailWorkflows,
  type ModelUsageInput,
  type RefusalFragment,
  ReleaseWorkflows,
  ReportUsage,
  RequestUserInput,
  type RequestUserInputInput,
  type RetrievedSnippetInput,
  type WorkflowReleaseInput,
  type WorkflowStepInput,
} from "../api/generated.ts";
import { type Connection, request } from "../api/request.ts";
import { errorOf, isRefusal } from "../api/result.ts";
import { untilAnswered } from "../api/retry.ts";
import { Stopped } from "./handler-errors.ts";
import { LateUsage, MAX_CALLS } from "./late-usage.ts";
import type { Lease } from "./lease.ts";
import { type Amount, callsOf, type ReportedMetrics, sumOf } from "./metrics.ts";
import type { Proof } from "./proof.ts";

/** The most steps of one report. */
const MAX_STEPS = 100;
/** How often in a row a guard may fail to decide about a report. */
const MAX_GUARD_FAILURES = 5;
/** After how long a step is reported by itself, in milliseconds, where no other report takes it along. */
const SOON_MS = 1_000;

/** A step with what it has brought. */
export interface StepReport {
  readonly step: WorkflowStepInput;
  readonly amounts: readonly Amount[];
  readonly snippets?: readonly RetrievedSnippetInput[];
}

/** What a handler returns, as it is reported. */
export interface Completion {
  readonly outputs: unknown;
  readonly issues?: readonly string[] | undefined;
  readonly writtenEntities?: readonly EntityRefInput[] | undefined;
  readonly needsValidation?: boolean | undefined;
}

/** The reports of a run: one after another, each until it is answered, and counted once however often it is sent. */
export class Reports {
  readonly #connection: Connection;
  readonly #proof: Proof;
  readonly #lease: Lease;
  /** What waits for the next report. */
  #waiting: StepReport[] = [];
  #usage: ModelUsageInput[] = [];
  readonly #late: LateUsage;
  #last: Promise<unknown> = Promise.resolve();
  /** Reports what waits, where nothing else does soon. */
  #soon: NodeJS.Timeout | undefined;
  #isOver = false;
  #reportedAt = performance.now();

  constructor(connection: Connection, proof: Proof, lease: Lease) {
    this.#connection = connection;
    this.#proof = proof;
    this.#lease = lease;
    this.#late = new LateUsage(connection, proof);
  }

  /** Keeps a step for the next report: the next step's, or the one that ends the run. */
  add(report: StepReport): void {
    this.#waiting.push(report);
    this.#reportSoon();
  }

  /** Keeps a call of a model, of no step, for the report that ends the run; where that does not come soon, for one by itself. */
  addUsage(usage: ModelUsageInput): void {
    this.#usage.push(usage);
    if (this.#isOver) void this.end();
    else this.#reportSoon();
  }

  /** A call that was paid for must not be made again, or go uncounted, because the next step takes long and the worker dies. */
  #reportSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      const report = async () => {
        await this.#flush(0);
        const usage = this.#usage.splice(0, MAX_CALLS);
        if (usage.length === 0) return;
        await this.#send(amountsOf(usage), async (proof) => {
          return (await this.#request(ReportUsage, { input: { ...proof, usage } })).reportUsage;
        });
      };
      // Whoever reports next is told what was wrong with the run.
      this.#inTurn(report).catch(() => undefined);
    }, SOON_MS);
  }

  /** Reports that a step goes on, so that people see it. */
  start(step: WorkflowStepInput): Promise<void> {
    return this.#inTurn(() => this.#advance([{ step, amounts: [] }]));
  }

  /** Reports what waits. Once it resolves, the guards have let it pass, and it is kept. */
  flush(): Promise<void> {
    return this.#inTurn(() => this.#flush(0));
  }

  /** Completes the run, with the steps that still wait. */
  complete({ outputs, issues = [], writtenEntities = [], needsValidation = false }: Completion): Promise<void> {
    return this.#inTurn(async () => {
      await this.#flush(1);
      const waiting = this.#waiting.splice(0);
      const amounts = [...waiting.flatMap((each) => each.amounts), ...this.#takenUsage()];
      const completion = {
        jobOutputs: outputs,
        issues: [...issues],
        writtenEntities: [...writtenEntities],
        needsValidation,
        steps: waiting.map(({ step }) => step),
        retrievedSnippets: waiting.flatMap(({ snippets = [] }) => snippets),
      };
      await this.#send(amounts, async (proof, metrics) => {
        const input = { completions: [{ ...proof, ...completion, metrics }] };
        return itemOf((await this.#request(CompleteWorkflows, { input })).completeWorkflows);
      });
    });
  }

  /** Fails the run. */
  fail(errorMessage: string, retry: { readonly retryable: boolean; readonly retryAfter?: string }): Promise<void> {
    return this.#inTurn(async () => {
      await this.#flushWhatFits();
      await this.#send(this.#takenUsage(), async (proof, metrics) => {
        const input = { failures: [{ ...proof, errorMessage, ...retry, metrics }] };
        return itemOf((await this.#request(FailWorkflows, { input })).failWorkflows);
      });
    });
  }

  /** Gives the job back. */
  release(why: Pick<WorkflowReleaseInput, "reason" | "runAfter" | "untilChildrenEnd">): Promise<void> {
    return this.#inTurn(async () => {
      await this.#flushWhatFits();
      await this.#send(this.#takenUsage(), async (proof, metrics) => {
        const input = { releases: [{ ...proof, ...why, metrics }] };
        return itemOf((await this.#request(ReleaseWorkflows, { input })).releaseWorkflows);
      });
    });
  }

  /** Asks a person, which ends the lease. */
  ask(question: Omit<RequestUserInputInput, keyof Proof | "metrics" | "reportId">): Promise<void> {
    return this.#inTurn(async () => {
      await this.#flush(0);
      await this.#send(this.#takenUsage(), async (proof, metrics) => {
        const { requestUserInput } = await this.#request(RequestUserInput, {
          input: { ...proof, ...question, metrics },
        });
        return requestUserInput;
      });
    });
  }

  /** Says that the run has ended, however: what calls of models have used is then reported by itself, also what comes later. Never rejects. */
  async end(): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#soon);
    this.#late.add(callsOf([...this.#waiting.splice(0).flatMap((each) => each.amounts), ...this.#takenUsage()]));
    await this.#late.report().catch(() => undefined);
  }

  /** One report after another: the server would do the same, by the job's lock. */
  #inTurn<T>(report: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(report, report);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /**
   * Reports what waits.
   * @param left how many of the last steps may wait for the report after.
   */
  async #flush(left: number): Promise<void> {
    if (this.#usage.length === 0) {
      clearTimeout(this.#soon);
      this.#soon = undefined;
    }
    while (this.#waiting.length > left) {
      // A step that counted something goes alone, or that would not show as its own.
      const using = this.#waiting.findIndex(({ amounts }) => amounts.length > 0);
      const count = using < 0 ? this.#waiting.length - left : using;
      await this.#advance(this.#waiting.splice(0, Math.min(Math.max(count, 1), MAX_STEPS)));
    }
  }

  /** Reports what waits before the run fails or is given back; a step that the server refuses does not keep it from ending. */
  async #flushWhatFits(): Promise<void> {
    while (this.#waiting.length > 0) await this.#flush(0).catch(() => this.#lease.throwIfOver());
  }

  async #advance(reports: readonly StepReport[]): Promise<void> {
    const steps = reports.map(({ step }) => step);
    const retrievedSnippets = reports.flatMap(({ snippets = [] }) => snippets);
    const amounts = reports.flatMap((each) => each.amounts);
    await this.#send(amounts, async (proof, metrics) => {
      const input = { ...proof, steps, retrievedSnippets, metrics };
      return (await this.#request(AdvanceWorkflow, { input })).advanceWorkflow;
    });
  }

  #request<Data, Variables>(operation: TypedDocument<Data, Variables>, variables: Variables): Promise<Data> {
    return request(this.#connection, operation, variables, { signal: this.#lease.signal });
  }

  /**
   * Sends a report until it is answered.
   * @throws Stopped where the run must stop; JobServerError where the report was wrong, or a guard could not decide.
   */
  async #send(
    amounts: readonly Amount[],
    attempt: (proof: Proof & { readonly reportId: string }, metrics: ReportedMetrics) => Promise<Answer>,
  ): Promise<void> {
    const reportId = crypto.randomUUID();
    const calls = amounts.filter(({ usage }) => usage);
    const others = amounts.filter(({ usage }) => !usage);
    this.#late.add(callsOf(calls.slice(MAX_CALLS)));
    let guardFailures = 0;
    const metrics = sumOf([...calls.slice(0, MAX_CALLS), ...others], this.#worked());
    try {
      this.#lease.throwIfOver();
      const answer = await untilAnswered(async () => {
        const given = await attempt({ ...this.#proof, reportId }, metrics);
        if (!isRefusal(given)) return given;
        if (given.code === "TRY_AGAIN") throw errorOf(given);
        // A guard that could not decide may be able to a little later; nothing was kept.
        if (given.code === "GUARD_FAILED" && guardFailures++ < MAX_GUARD_FAILURES)
          throw new JobServerError("TRY_AGAIN", given.message);
        return given;
      }, this.#lease.signal);
      this.#judge(answer);
      // An answer that comes after the deadline counts no more: another worker may have the job.
      this.#lease.throwIfOver();
    } catch (error) {
      const code = error instanceof Stopped ? error.code : null;
      // Under this code the report was kept, and failed the job by what it brought.
      const isCounted = code === "BUDGET_EXCEEDED";
      // Under these it was kept, too, and counted nothing.
      const isTaken = code === "ACCESS_MODE_VIOLATION" || code === "CAPABILITY_DENIED";
      if (!isCounted) this.#late.keep(isTaken ? crypto.randomUUID() : reportId, metrics.usage);
      throw error;
    }
  }

  /** The calls of models of no step. */
  #takenUsage(): readonly Amount[] {
    return amountsOf(this.#usage.splice(0));
  }

  #judge(answer: Answer): void {
    if (answer.__typename === "JobPoisoned") {
      this.#lease.stop("STOP_POISONED", "A guard found something in what the run brought.", "JOB_POISONED");
    } else if (isRefusal(answer)) {
      this.#lease.refuse(errorOf(answer));
    }
  }

  /** Milliseconds since the last report, so that the reports add up to the time of the run. */
  #worked(): number {
    const since = this.#reportedAt;
    this.#reportedAt = performance.now();
    return Math.round(this.#reportedAt - since);
  }
}

const amountsOf = (usage: readonly ModelUsageInput[]): readonly Amount[] => usage.map((each) => ({ usage: each }));

type Answer = { readonly __typename: string } | RefusalFragment;

/** @returns the one result of a batch of one, or why the batch was refused. */
function itemOf<Item extends { readonly __typename: string }>(
  batch: { readonly __typename: string; readonly results: readonly Item[] } | RefusalFragment,
): Item | RefusalFragment {
  if (!("results" in batch)) return batch;
  const [item] = batch.results;
  if (!item) throw new UnansweredError("The answer lacks its result.");
  return item;
}

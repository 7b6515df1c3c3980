import { isLostWith } from "./codes.ts";
import type { ReportInput, SentKind } from "./entries.ts";
import type { Journal } from "./journal.ts";
import { type Moment, mayBeOver, thisMoment } from "./moment.ts";
import type { Reporter, ReportResult } from "./reporter.ts";

/** The run is over for the worker: the server says so, or its own clock. */
export class Stopped extends Error {
  override readonly name = "Stopped";
}

/**
 * A run's lease as its worker keeps it. By the worker's own clock no step begins, nothing is sent and no answer counts any more when
 * the lease may be over. The moment that the journal gets is from before the look at the clock: if the process stands still in between,
 * the journal shows what the worker knew.
 */
export class Lease {
  readonly #workflowRunId: string;
  /** How long it lasts, each time that it is renewed. */
  readonly seconds: number;
  readonly #reporter: Reporter;
  readonly #journal: Journal;
  /** When the claim, or the latest renewal that was answered, was sent. */
  #renewalSentAt: Moment;
  #isStopped = false;
  #isCareless = false;

  /** @param claim when the claim was sent that was answered with the lease. */
  constructor(
    workflowRunId: string,
    claim: { readonly sentAt: Moment; readonly leaseSeconds: number },
    reporter: Reporter,
    journal: Journal,
  ) {
    this.#workflowRunId = workflowRunId;
    this.#renewalSentAt = claim.sentAt;
    this.seconds = claim.leaseSeconds;
    this.#reporter = reporter;
    this.#journal = journal;
  }

  get isHeld(): boolean {
    return !this.#isStopped;
  }

  /** The worker is done with the run. */
  end(): void {
    this.#isStopped = true;
  }

  /** From here on the worker goes by no clock: it is one that makes mistakes. */
  forgetClock(): void {
    this.#isCareless = true;
    this.#journal.write({ type: "careless", workflowRunId: this.#workflowRunId });
  }

  /** @throws Stopped */
  begin(nodeId: string): void {
    const at = this.checkClock();
    this.#journal.write({ type: "begun", workflowRunId: this.#workflowRunId, nodeId, at });
  }

  /** Sends a report, and counts on it once it is accepted. @throws Stopped, NoAnswerError */
  async report(kind: SentKind, input: ReportInput): Promise<void> {
    let result: ReportResult | undefined;
    try {
      [result] = await this.#reporter.report(kind, [input], () => this.checkClock());
    } catch (error) {
      await this.#reporter.saveUsage(input);
      throw error;
    }
    if (isLostWith(result?.code)) await this.#reporter.saveUsage(input);
    if (!result || result.mustStop) this.#isStopped = true;
    this.#count(input.reportId);
  }

  /** Goes on under a lease that was renewed, or stops. */
  renew({ reportId, mustStop, sentAt }: ReportResult): void {
    if (mustStop) this.#isStopped = true;
    try {
      this.#count(reportId);
      this.#renewalSentAt = sentAt;
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    }
  }

  /** @returns the moment before it looked. @throws Stopped if the run is over. */
  checkClock(): Moment {
    const at = thisMoment();
    if (!this.#isStopped && !this.#isCareless && mayBeOver(this.seconds, this.#renewalSentAt)) {
      this.#isStopped = true;
      this.#journal.write({ type: "stopped", workflowRunId: this.#workflowRunId, at });
    }
    if (this.#isStopped) throw new Stopped();
    return at;
  }

  #count(reportId: string): void {
    const at = this.checkClock();
    this.#journal.write({ type: "counted", workflowRunId: this.#workflowRunId, reportId, at });
  }
}

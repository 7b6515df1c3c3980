import { JobServerError } from "../api/errors.ts";
import { type ModelUsageInput, ReportUsage } from "../api/generated.ts";
import { type Connection, request } from "../api/request.ts";
import { successOf } from "../api/result.ts";
import { untilAnswered } from "../api/retry.ts";
import type { Proof } from "./proof.ts";

/** The most calls of models of one report. */
export const MAX_CALLS = 16;
/** How long it is tried to report it, in milliseconds. */
const LATE_MS = 60_000;

/**
 * What calls of models have used that no report has brought to the server, because its run had ended: they were paid for. The server takes it
 * until a day after the end of the run (section 14).
 */
export class LateUsage {
  readonly #connection: Connection;
  readonly #proof: Proof;
  #reports: { readonly reportId: string; readonly usage: readonly ModelUsageInput[] }[] = [];

  constructor(connection: Connection, proof: Proof) {
    this.#connection = connection;
    this.#proof = proof;
  }

  /** Keeps calls that no report has tried to bring. */
  add(usage: readonly ModelUsageInput[]): void {
    for (let at = 0; at < usage.length; at += MAX_CALLS)
      this.keep(crypto.randomUUID(), usage.slice(at, at + MAX_CALLS));
  }

  /** Keeps the calls of a report of which nobody knows whether it was kept: under its id they count once. */
  keep(reportId: string, usage: readonly ModelUsageInput[]): void {
    if (usage.length > 0) this.#reports.push({ reportId, usage });
  }

  /** Reports what is kept; gives up after a minute without an answer. */
  async report(): Promise<void> {
    const signal = AbortSignal.timeout(LATE_MS);
    const reports = this.#reports;
    this.#reports = [];
    for (const { reportId, usage } of reports) {
      const input = { ...this.#proof, reportId, usage: [...usage] };
      const send = async () =>
        successOf((await request(this.#connection, ReportUsage, { input }, { signal })).reportUsage);
      // A refusal is final: the report was kept after all, and this with it.
      await untilAnswered(send, signal).catch((error: unknown) => {
        if (!(error instanceof JobServerError)) throw error;
      });
    }
  }
}

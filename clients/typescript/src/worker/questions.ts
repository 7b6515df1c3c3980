import { trust } from "../api/trust.ts";
import type { Claim } from "./job.ts";
import { asJson } from "./json.ts";
import type { Reports } from "./reports.ts";
import { check, jsonSchemaOf, type StandardSchema } from "./standard-schema.ts";

export interface AskOptions<Answer> {
  /** What the answer must be. Where the schema's library can say it as JSON Schema, the server refuses every other one. */
  readonly schema?: StandardSchema<Answer>;
  /** The answers to choose from. */
  readonly options?: readonly string[];
  /** What is shown with the question, such as a draft. */
  readonly payload?: unknown;
  /** The job fails where nobody has answered until then. */
  readonly expiresAt?: Date;
}

/** The questions of a job to people, each of which is asked once. */
export class Questions {
  readonly #claim: Claim;
  readonly #reports: Reports;
  readonly #wait: (ask: () => Promise<void>) => Promise<never>;
  readonly #times = new Map<string, number>();

  /** @param wait ends the run by asking. */
  constructor(claim: Claim, reports: Reports, wait: (ask: () => Promise<void>) => Promise<never>) {
    this.#claim = claim;
    this.#reports = reports;
    this.#wait = wait;
  }

  /** @returns the answer; where there is none yet, the run ends here, and the handler is called again when it is there. */
  async ask<Answer>(question: string, { schema, options, payload, expiresAt }: AskOptions<Answer>): Promise<Answer> {
    const answers = this.#claim.userAnswers.filter((each) => each.question === question);
    for (let at = this.#times.get(question) ?? 0; at < answers.length; at += 1) {
      this.#times.set(question, at + 1);
      const { answer } = answers[at] ?? {};
      if (!schema) return trust<Answer>(answer);
      const checked = await check(schema, answer);
      // One that does not fit is asked for again: only where the schema's library cannot say it to the server.
      if ("value" in checked) return checked.value;
    }
    const answerSchema = schema && jsonSchemaOf(schema);
    return this.#wait(() =>
      this.#reports.ask({
        question,
        ...(payload === undefined ? {} : { payload: asJson(payload) }),
        ...(options ? { options: [...options] } : {}),
        ...(answerSchema ? { answerSchema } : {}),
        ...(expiresAt ? { expiresAt: expiresAt.toISOString() } : {}),
      }),
    );
  }
}

import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

/** The answer of a mutation: one result, or one for each item of a batch. */
const item = z.looseObject({
  __typename: z.string().optional(),
  code: z.string().optional(),
  error: z.looseObject({ code: z.string() }).nullish(),
});
const answerSchema = item.extend({ results: z.array(item).optional() });
const responseSchema = z.object({
  data: z.looseObject({ answer: answerSchema.nullish() }).nullish(),
  errors: z
    .array(z.looseObject({ message: z.string(), extensions: z.looseObject({ code: z.string() }).optional() }))
    .optional(),
});

export type Item = z.infer<typeof item>;
export type Answer = z.infer<typeof answerSchema>;

/** No server gave a definite answer for as long as the client tried: the outcome is unknown. */
export class NoAnswerError extends Error {
  override readonly name = "NoAnswerError";
}

/** An answer that a client that follows the documentation should never get. */
export class UnexpectedAnswerError extends Error {
  override readonly name = "UnexpectedAnswerError";
}

/** How long to try. */
export interface TryLimits {
  /** After how many milliseconds no server is tried again. */
  readonly totalMs?: number;
}

/**
 * A client of several servers on one database, written from the documentation alone, with plain `fetch`. It tries the
 * next server whenever one is down, does not answer in time, fails, or answers TRY_AGAIN; so what it sends must be
 * idempotent.
 */
export class Client {
  readonly #urls: readonly string[];
  readonly #answerMs: number;
  #current: number;

  /**
   * @param first the index of the server to try first.
   * @param answerMs how long one server may take to answer, in milliseconds.
   */
  constructor(urls: readonly string[], first: number, answerMs = 4_000) {
    this.#urls = urls;
    this.#answerMs = answerMs;
    this.#current = first;
  }

  /**
   * Sends a document whose one field has the alias `answer`.
   * @param onTry called each time before it is sent; what it throws ends the tries.
   * @throws NoAnswerError, UnexpectedAnswerError
   */
  async ask(
    query: string,
    input: object,
    onTry: () => void = () => undefined,
    { totalMs = 20_000 }: TryLimits = {},
  ): Promise<Answer> {
    const deadline = performance.now() + totalMs;
    let pauseMs = 20;
    let reason: string;
    do {
      onTry();
      const answer = await this.#send(query, input);
      if (typeof answer !== "string") return answer;
      reason = answer;
      this.#current = (this.#current + 1) % this.#urls.length;
      await sleep(pauseMs);
      pauseMs = Math.min(pauseMs * 2, 800);
    } while (performance.now() < deadline);
    throw new NoAnswerError(reason);
  }

  /** @returns the answer, or as text why the outcome of the request is unknown. */
  async #send(query: string, input: object): Promise<Answer | string> {
    let body: unknown;
    try {
      const response = await fetch(this.#urls[this.#current] ?? "", {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/graphql-response+json" },
        body: JSON.stringify({ query, variables: { input } }),
        signal: AbortSignal.timeout(this.#answerMs),
      });
      body = await response.json();
    } catch (error) {
      return String(error);
    }
    const { data, errors } = responseSchema.parse(body);
    const [error] = errors ?? [];
    if (error && error.extensions?.code !== "INTERNAL_SERVER_ERROR")
      throw new UnexpectedAnswerError(JSON.stringify(errors));
    if (error) return error.message;
    if (!data?.answer) throw new UnexpectedAnswerError(JSON.stringify(body));
    const isTryAgain = [data.answer, ...(data.answer.results ?? [])].some((result) => codeOf(result) === "TRY_AGAIN");
    return isTryAgain ? "TRY_AGAIN" : data.answer;
  }
}

/** The code of the error that an answer is; null for a success. */
export function codeOf({ __typename, code, error }: Item): string | null {
  return code ?? error?.code ?? (__typename === "JobPoisoned" ? "JOB_POISONED" : null);
}

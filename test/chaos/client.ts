import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

/** What every mutation answers here: one result, or one for each item of a batch. */
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

/** Nobody answered in a way that tells what came of it, for as long as this client asks. */
export class Unheard extends Error {
  override readonly name = "Unheard";
}

/** An answer that nobody who follows the documentation should get. */
export class Surprise extends Error {
  override readonly name = "Surprise";
}

export interface Patience {
  /** Milliseconds that one server may take to answer. */
  readonly answerMs?: number;
  /** Milliseconds after which nobody is asked again. */
  readonly totalMs?: number;
}

/**
 * A client of several servers with one database, as a stranger writes it: plain `fetch`, and the other server whenever
 * one is down, says nothing in time, says that it failed, or asks for another try. What it sends must bear repeating.
 */
export class Client {
  readonly #urls: readonly string[];
  #current: number;

  /** @param first which server is asked first. */
  constructor(urls: readonly string[], first: number) {
    this.#urls = urls;
    this.#current = first;
  }

  /**
   * Sends a mutation whose one field has the alias `answer`.
   * @param onTry called before each time that it is sent.
   * @throws Unheard, Surprise
   */
  async ask(
    query: string,
    input: object,
    onTry: () => void = () => undefined,
    { answerMs = 4_000, totalMs = 20_000 }: Patience = {},
  ): Promise<Answer> {
    const deadline = performance.now() + totalMs;
    let pause = 20;
    let why: string;
    do {
      onTry();
      const answer = await this.#send(query, input, answerMs);
      if (typeof answer !== "string") return answer;
      why = answer;
      this.#current = (this.#current + 1) % this.#urls.length;
      await sleep(pause);
      pause = Math.min(pause * 2, 800);
    } while (performance.now() < deadline);
    throw new Unheard(why);
  }

  /** @returns the answer, or why it is unknown what came of the request. */
  async #send(query: string, input: object, answerMs: number): Promise<Answer | string> {
    let body: unknown;
    try {
      const response = await fetch(this.#urls[this.#current] ?? "", {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/graphql-response+json" },
        body: JSON.stringify({ query, variables: { input } }),
        signal: AbortSignal.timeout(answerMs),
      });
      body = await response.json();
    } catch (error) {
      return String(error);
    }
    const { data, errors } = responseSchema.parse(body);
    const [error] = errors ?? [];
    if (error && error.extensions?.code !== "INTERNAL_SERVER_ERROR") throw new Surprise(JSON.stringify(errors));
    if (error) return error.message;
    if (!data?.answer) throw new Surprise(JSON.stringify(body));
    const again = [data.answer, ...(data.answer.results ?? [])].some((one) => codeOf(one) === "TRY_AGAIN");
    return again ? "TRY_AGAIN" : data.answer;
  }
}

/** The error's code, where an answer is one; null for a success. */
export function codeOf({ __typename, code, error }: Item): string | null {
  return code ?? error?.code ?? (__typename === "JobPoisoned" ? "JOB_POISONED" : null);
}

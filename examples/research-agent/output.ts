import { type Api, send, untilHeard } from "../client.ts";
import { refusalOf } from "../worker/answers.ts";
import type { Run } from "../worker/run.ts";
import { AppendOutput } from "./operations.ts";

/** How long words are gathered before they are sent, in milliseconds: each call costs the server a transaction. */
const GATHER_MS = 150;

/** A chunk has at most 16 KiB, and a character at most four bytes. */
const PIECES = /.{1,4000}/gsu;

/** The partial output of a run: what it writes, for whoever watches, while it is at work. */
export class Output {
  readonly #api: Api;
  readonly #run: Run;
  #waiting = "";
  #nextSequence = 1;
  #timer: NodeJS.Timeout | undefined;
  #sent: Promise<void> = Promise.resolve();

  constructor(api: Api, run: Run) {
    this.#api = api;
    this.#run = run;
  }

  write(text: string): void {
    this.#waiting += text;
    this.#timer ??= setTimeout(() => this.#send(endOfLastWord(this.#waiting)), GATHER_MS);
  }

  /**
   * Sends what is left.
   * @throws what any of the calls was refused by, such as Stopped.
   */
  async end(): Promise<void> {
    this.#send(this.#waiting.length);
    await this.#sent;
  }

  /** Sends nothing more, where the run has ended otherwise. */
  close(): void {
    clearTimeout(this.#timer);
  }

  /** Sends the first characters of what waits, after what was sent before: one call at a time, so that no sequence is missing. */
  #send(length: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const texts = this.#waiting.slice(0, length).match(PIECES) ?? [];
    this.#waiting = this.#waiting.slice(length);
    if (texts.length > 0) this.#sent = this.#sent.then(() => this.#append(texts));
    // `end` tells what went wrong; until then nobody waits for it.
    this.#sent.catch(() => undefined);
  }

  async #append(texts: readonly string[]): Promise<void> {
    const chunks = texts.map((text, at) => ({ sequence: this.#nextSequence + at, text }));
    const input = { ...this.#run.proof(), chunks };
    const answer = await untilHeard(async () => (await send(this.#api, AppendOutput, { input })).appendOutput);
    if (answer.__typename === "AppendOutputPayload") {
      this.#nextSequence = answer.nextSequence;
      return;
    }
    const refusal = refusalOf(answer);
    if (refusal) throw refusal;
  }
}

/** Half a word would be guarded as it stands. */
function endOfLastWord(text: string): number {
  return text.search(/\S*$/u);
}

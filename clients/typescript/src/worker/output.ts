import { AppendOutput } from "../api/generated.ts";
import { type Connection, request } from "../api/request.ts";
import { successOf } from "../api/result.ts";
import { untilAnswered } from "../api/retry.ts";
import type { Lease } from "./lease.ts";
import type { Proof } from "./proof.ts";

/** How long words are gathered before they are sent, in milliseconds: each call costs the server a transaction. */
const GATHER_MS = 150;
/** After how long without more the last word is sent, too. */
const QUIET_MS = 1_000;
/** A word is no longer than so many characters; scripts without spaces are cut anywhere. */
const MAX_WORD = 200;
/** A chunk has at most 16 KiB, and a character at most four bytes. */
const PIECES = /.{1,4000}/gsu;
const MAX_CHUNKS = 60;

/** What a run puts out while it works, for whoever watches. It is no record: what counts are the outputs. */
export class Output {
  readonly #connection: Connection;
  readonly #proof: Proof;
  readonly #lease: Lease;
  #waiting = "";
  #nextSequence = 1;
  #timer: NodeJS.Timeout | undefined;
  #quiet: NodeJS.Timeout | undefined;
  #sent: Promise<void> = Promise.resolve();

  constructor(connection: Connection, proof: Proof, lease: Lease) {
    this.#connection = connection;
    this.#proof = proof;
    this.#lease = lease;
  }

  /** Puts out text; it is sent with what comes in the next tenth of a second, cut behind a word. */
  write(text: string): void {
    clearTimeout(this.#quiet);
    this.#waiting += text.toWellFormed().replaceAll("\0", "");
    this.#timer ??= setTimeout(() => this.#send(endOfLastWord(this.#waiting)), GATHER_MS);
  }

  /**
   * Sends what is left; the kit does so when the handler returns.
   * @throws what a call was refused by.
   */
  async end(): Promise<void> {
    this.#send(this.#waiting.length);
    await this.#sent;
  }

  /** Sends nothing more but what is on its way. */
  close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#quiet);
  }

  /** Sends the first characters of what waits: one call at a time, so that no sequence is missing. */
  #send(length: number): void {
    this.close();
    this.#timer = undefined;
    const texts = this.#waiting.slice(0, length).match(PIECES) ?? [];
    this.#waiting = this.#waiting.slice(length);
    // A word that nothing follows for a while is a whole one.
    if (this.#waiting !== "") this.#quiet = setTimeout(() => this.#send(this.#waiting.length), QUIET_MS);
    for (let at = 0; at < texts.length; at += MAX_CHUNKS) {
      this.#sent = this.#appendAfter(this.#sent, texts.slice(at, at + MAX_CHUNKS));
    }
    // `end` tells what went wrong; until then nobody waits for it.
    this.#sent.catch(() => undefined);
  }

  async #appendAfter(before: Promise<void>, texts: readonly string[]): Promise<void> {
    await before;
    await this.#append(texts);
  }

  async #append(texts: readonly string[]): Promise<void> {
    this.#lease.throwIfOver();
    const { signal } = this.#lease;
    const chunks = texts.map((text, at) => ({ sequence: this.#nextSequence + at, text }));
    const input = { ...this.#proof, chunks };
    const appended = await untilAnswered(async () => {
      const { appendOutput } = await request(this.#connection, AppendOutput, { input }, { signal });
      return successOf(appendOutput);
    }, signal).catch((error: unknown) => this.#lease.refuse(error));
    if (appended.__typename === "AppendOutputPayload") this.#nextSequence = appended.nextSequence;
    else this.#lease.stop("STOP_POISONED", "A guard found something in what the run put out.", "JOB_POISONED");
    this.#lease.throwIfOver();
  }
}

/** Half a word would be guarded as it stands. */
function endOfLastWord(text: string): number {
  for (let at = text.length; at > Math.max(text.length - MAX_WORD, 0); at -= 1) {
    if (/\s/u.test(text.charAt(at - 1))) return at;
  }
  if (text.length <= MAX_WORD) return 0;
  // Not between the two halves of a character.
  return text.isWellFormed() ? text.length : text.length - 1;
}

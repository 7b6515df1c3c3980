import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { z } from "zod";

const ON_TERMINAL = fileURLToPath(new URL("on-terminal.py", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PYTHON = process.env.TEST_PYTHON ?? "python3";

/**
 * Whether programs can be run on a terminal here, for which Python's library has what Node's lacks.
 * @throws Error where they cannot, in CI.
 */
export function hasTerminals(): boolean {
  if (spawnSync(PYTHON, ["-c", "import pty, os; os.waitstatus_to_exitcode"]).status === 0) return true;
  const lacks = `${PYTHON} is no Python 3.9 or later that can open a terminal`;
  if (process.env.CI !== undefined) throw new Error(`${lacks}: install it, or set TEST_PYTHON.`);
  process.stdout.write(`${lacks}: the tests on a terminal are left out.\n`);
  return false;
}

/** With what begins all that moves the cursor or turns a colour on. */
export const ESCAPE = "\u001b";
const WORDS = new RegExp(`${ESCAPE}\\[([\\d;?]*)([A-Za-z])|[^]`, "gu");
const HALF_A_WORD = new RegExp(`${ESCAPE}(?:\\[[\\d;?]*)?$`);

interface TerminalOptions {
  readonly columns?: number;
  readonly rows?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** The command line on a terminal of its own, and what stands there. */
export class Terminal {
  readonly #columns: number;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #exited: Promise<unknown[]>;
  readonly #lines: string[][] = [[]];
  #row = 0;
  #column = 0;
  #wraps = true;
  #rest = "";
  /** Everything that was written to it, with what moves the cursor and turns colours on. */
  written = "";
  showsCursor = true;

  constructor(args: readonly string[], { columns = 200, rows = 30, env = {} }: TerminalOptions = {}) {
    this.#columns = columns;
    const command = [process.execPath, "dist/cli/main.js", ...args];
    this.#child = spawn(PYTHON, [ON_TERMINAL, String(columns), String(rows), ...command], {
      cwd: ROOT,
      env: { PATH: process.env.PATH, TERM: "xterm-256color", ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#exited = once(this.#child, "close");
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => this.#write(text));
  }

  /** The lines that stand there, without empty ones at the end. */
  get lines(): readonly string[] {
    return this.#lines
      .map((cells) => cells.join("").trimEnd())
      .join("\n")
      .trimEnd()
      .split("\n");
  }

  /** Whether a line that is too long goes on in the next one, as it does on a terminal where nobody has changed that. */
  get wraps(): boolean {
    return this.#wraps;
  }

  type(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** @returns with what the command has ended, as a shell counts it. */
  async ended(): Promise<number> {
    const [code] = await this.#exited;
    return z.number().parse(code);
  }

  async kill(): Promise<void> {
    // Its terminal goes with it, by which the command ends, too.
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  #write(text: string): void {
    this.written += text;
    const all = this.#rest + text;
    // The first half of what moves the cursor waits for the other one.
    const [incomplete = ""] = HALF_A_WORD.exec(all) ?? [];
    this.#rest = incomplete;
    const complete = all.slice(0, all.length - incomplete.length);
    for (const [part, parameters, final] of complete.matchAll(WORDS)) {
      if (final === undefined) this.#put(part);
      else this.#obey(final, parameters ?? "");
    }
  }

  #put(character: string): void {
    if (character === "\n") this.#row += 1;
    else if (character === "\r") this.#column = 0;
    else {
      if (this.#column >= this.#columns && this.#wraps) {
        this.#row += 1;
        this.#column = 0;
      }
      this.#column = Math.min(this.#column, this.#columns - 1);
      this.#line()[this.#column] = character;
      this.#column += 1;
    }
    this.#line();
  }

  /** What a terminal does by these, and nothing else: another one would be new to this test. */
  #obey(final: string, parameters: string): void {
    switch (`${parameters}${final}`) {
      case "?25l":
      case "?25h":
        this.showsCursor = final === "h";
        return;
      case "?7l":
      case "?7h":
        this.#wraps = final === "h";
        return;
      case "0J":
        this.#lines.splice(this.#row + 1);
        this.#line().splice(this.#column);
        return;
    }
    if (final === "m") return;
    if (final !== "A") throw new Error(`What does a terminal do by ${parameters}${final}?`);
    this.#row = Math.max(this.#row - Number(parameters || 1), 0);
  }

  /** The line of the cursor, as long as it needs. */
  #line(): string[] {
    while (this.#lines.length <= this.#row) this.#lines.push([]);
    const line = this.#lines[this.#row] ?? [];
    while (line.length < this.#column) line.push(" ");
    return line;
  }
}

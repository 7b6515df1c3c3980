import fc from "fast-check";

/** What happens to a database with two servers, drawn. A number that picks one of several counts back from the newest. */

/** What a person or a worker asks for. */
export type Command =
  | { readonly does: "submit"; readonly kind: "DOC_SUMMARIZE" | "TERMINAL_EXEC" }
  | { readonly does: "claim"; readonly limit: number }
  | { readonly does: Report; readonly claim: number; readonly tokens: number }
  | { readonly does: "cancel"; readonly job: number };

/** What a worker reports of a run. */
export type Report = "advance" | "heartbeat" | "complete" | "fail";

/** The database becomes what it was at an earlier moment, or what another PostgreSQL server has of it. */
export interface Move {
  readonly does: "move";
  /** Which backup is restored. The newest is of this moment: nothing is lost. */
  readonly backup: number;
  /** Whether ids go on, are given again, or lie so far behind the stored ones. */
  readonly ids: "go on" | "again" | number;
  /** Whether no server has to have looked at the log since the last writes. */
  readonly isUnseen: boolean;
  /** Which servers are stopped before, and started again after. */
  readonly stopped: readonly number[];
  /** Whether totals and usage stay as they are, as where tables are restored one by one. */
  readonly keepsTotals: boolean;
  /** What is asked for before any server has to have looked. */
  readonly writes: readonly Command[];
  /** What is asked for while they look. */
  readonly writesMeanwhile: readonly Command[];
}

export type Step =
  | Command
  | Move
  | { readonly does: "aggregate" | "begin epoch" }
  | { readonly does: "subscribe"; readonly server: number; readonly job: number | null }
  | { readonly does: "resume"; readonly server: number; readonly cursor: number }
  | { readonly does: "restart"; readonly server: number };

/** More ids than all databases of a test's PostgreSQL server use up while a step is taken. */
export const FAR_BEHIND = 1_000_000;

const pick = fc.nat(9);
const server = fc.nat(1);
const kind = fc.constantFrom("DOC_SUMMARIZE", "TERMINAL_EXEC");
const report = fc.constantFrom<Report[]>("advance", "heartbeat", "heartbeat", "complete", "complete", "fail");

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ does: fc.constant("submit"), kind }) },
  { weight: 3, arbitrary: fc.record({ does: fc.constant("claim"), limit: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 7, arbitrary: fc.record({ does: report, claim: pick, tokens: fc.nat(50) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("cancel"), job: pick }) },
);

const move: fc.Arbitrary<Move> = fc.record({
  does: fc.constant("move"),
  backup: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 5 }) },
    { weight: 1, arbitrary: fc.nat(40) },
  ),
  ids: fc.constantFrom<Move["ids"][]>("go on", "again", "again", 1, 3, FAR_BEHIND),
  isUnseen: fc.nat(3).map((ofFour) => ofFour === 0),
  stopped: fc.constantFrom([], [], [0], [1], [0, 1]),
  keepsTotals: fc.nat(2).map((ofThree) => ofThree === 0),
  writes: fc.array(command, { maxLength: 3 }),
  writesMeanwhile: fc.array(command, { maxLength: 2 }),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 14, arbitrary: command },
  { weight: 4, arbitrary: move },
  { weight: 1, arbitrary: fc.record({ does: fc.constantFrom("aggregate", "begin epoch") }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("subscribe"), server, job: fc.option(pick) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("resume"), server, cursor: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("restart"), server }) },
);

/** Steps with several moves among them. */
export const sequences: fc.Arbitrary<readonly Step[]> = fc.array(step, { minLength: 15, maxLength: 30, size: "max" });

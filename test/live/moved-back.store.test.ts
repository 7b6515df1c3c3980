import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { tenfoldInLong } from "../support/long.ts";
import { type Backup, backUp, onBusyServer, restore } from "../support/moved-back.ts";
import { setQuotas } from "./moved-back/recount.ts";
import { FAR_BEHIND, type Step, sequences } from "./moved-back/step.ts";
import { type Counts, World } from "./moved-back/world.ts";

/**
 * Random sequences of commands, subscriptions, restarts and moves of a database with two servers, whatever a failover, a
 * restore, a copy or a point-in-time recovery leaves behind (section 10).
 *
 * MOVED_BACK_SEED=n repeats the sequences of a seed, MOVED_BACK_RUNS=n sets their number.
 */

const { MOVED_BACK_SEED, MOVED_BACK_RUNS } = process.env;
const RUNS = MOVED_BACK_RUNS === undefined ? tenfoldInLong(8) : Number(MOVED_BACK_RUNS);
/** Reducing a sequence can take long: at the limit, the shortest one so far is reported. */
const LIMIT_MS = 60_000 + RUNS * 10_000;

/** What must have happened in random sequences, or they would show nothing. */
const COMMON = [
  "moves that lost events",
  "moves with a new epoch",
  "moves without a new epoch",
  "subscriptions expired",
  "subscriptions that went on through a move",
  "cursors refused",
  "cursors resumed",
];
const RARE = [
  "moves to ids far behind",
  "moves to before an epoch",
  "moves that left totals",
  "commands told to try again",
  "submits over a quota",
];

let db: TestDatabase;
let atFirst: Backup;
beforeAll(async () => {
  db = await openTestDatabase();
  const engine = engineOn(db);
  // So that ids can lie far behind, however often.
  await onBusyServer(db.prisma, 1_000_000_000);
  await setQuotas(engine);
  await submitted(engine);
  atFirst = await backUp(db.prisma);
});
afterAll(() => db.close());

/** Takes the steps in the database as it was at first. */
async function take(steps: readonly Step[], counts: Counts): Promise<void> {
  await restore(db.prisma, atFirst);
  const world = new World(db, counts);
  try {
    await world.begin();
    for (const step of steps) await world.take(step);
    await world.end();
  } finally {
    await world.stop();
  }
}

test(
  "a database is moved back while subscribers watch: nothing is silent, what is counted is exact, and the chains are whole",
  async () => {
    const counts: Counts = new Map();
    const details = await fc.check(
      fc.asyncProperty(sequences, (steps) => take(steps, counts)),
      {
        ...(MOVED_BACK_SEED === undefined ? {} : { seed: Number(MOVED_BACK_SEED) }),
        numRuns: RUNS,
        plugins: [fc.unbiased(), fc.interruptAfterTimeLimit(LIMIT_MS, { failOnInterrupt: true })],
      },
    );
    const happened = [...counts].map(([what, times]) => `${times} ${what}`).join(", ");
    process.stdout.write(
      `Moved back on ${db.location.kind}: ${details.numRuns} sequences, seed ${details.seed}: ${happened}\n`,
    );
    if (details.failed) throw new Error(await fc.asyncDefaultReportMessage(details), { cause: details.errorInstance });
    expect([...counts.keys()]).toEqual(expect.arrayContaining(MOVED_BACK_RUNS === undefined ? COMMON : []));
  },
  LIMIT_MS + 60_000,
);

test("one fixed sequence in which everything happens that must not be silent", async () => {
  const submit = { does: "submit", kind: "DOC_SUMMARIZE" } as const;
  const move = {
    does: "move",
    backup: 0,
    ids: "again",
    isUnseen: false,
    stopped: [],
    keepsTotals: false,
    writes: [],
    writesMeanwhile: [submit],
  } as const;
  const counts: Counts = new Map();
  const steps: readonly Step[] = [
    submit,
    { does: "subscribe", server: 1, job: 0 },
    // No server is there to begin an epoch.
    { ...move, ids: FAR_BEHIND, stopped: [0, 1], writes: [submit] },
    { does: "claim", limit: 2 },
    { does: "heartbeat", claim: 0, tokens: 7 },
    { does: "complete", claim: 0, tokens: 3 },
    move,
    // What is lost next is in the totals that are left.
    { does: "aggregate" },
    { ...move, backup: 2, keepsTotals: true, writes: [submit] },
    { does: "restart", server: 0 },
    submit,
    // Whoever loses the newest event gets others under its id.
    {
      ...move,
      backup: 1,
      writes: [
        { does: "claim", limit: 1 },
        { does: "cancel", job: 0 },
        { does: "cancel", job: 1 },
      ],
    },
    submit,
    submit,
    { does: "begin epoch" },
    { ...move, backup: 3, ids: "go on" },
    { ...move, backup: 2, stopped: [0, 1] },
    { does: "resume", server: 0, cursor: 20 },
    { ...move, backup: 40, stopped: [1] },
  ];
  await take(steps, counts);
  expect([...counts.keys()]).toEqual(expect.arrayContaining([...COMMON, ...RARE]));
});

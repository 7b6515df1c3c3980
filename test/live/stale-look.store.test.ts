import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Prisma, PrismaClient } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { LogContinuity } from "../../src/live/continuity.ts";
import { beginEpoch } from "../../src/live/epoch.ts";
import { positionOf } from "../../src/log/cursor.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { loseAfter } from "../support/moved-back.ts";

/** Several looks at the log are under way at once, and their answers come in another order than they were asked in. */

let db: TestDatabase;
let engine: EngineContext;
let slow: SlowReads;
let told: string[];
let continuity: LogContinuity;

beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());
beforeEach(() => {
  slow = slowReads(db.prisma);
  told = [];
  continuity = new LogContinuity(slow.prisma, ({ epoch }) => told.push(epoch));
});

/** A read that is held. */
interface HeldRead {
  /** Resolves when the read has come so far. */
  readonly isHeld: Promise<void>;
  readonly release: () => void;
}

interface SlowReads {
  /** The database; the reads of transactions are never held. */
  readonly prisma: PrismaClient;
  /** Holds the next read: its statement, before it is sent; or its answer, which is then as old as the read. */
  hold(what: "statement" | "answer"): HeldRead;
}

function slowReads(prisma: PrismaClient): SlowReads {
  let next: { readonly what: "statement" | "answer"; readonly reach: () => Promise<void> } | undefined;
  const read = async (query: TemplateStringsArray | Prisma.Sql, ...values: unknown[]): Promise<unknown> => {
    const held = next;
    next = undefined;
    if (held?.what === "statement") await held.reach();
    const answer = await prisma.$queryRaw(query, ...values);
    if (held?.what === "answer") await held.reach();
    return answer;
  };
  return {
    prisma: new Proxy(prisma, {
      get: (target, key): unknown => (key === "$queryRaw" ? read : Reflect.get(target, key)),
    }),
    hold: (what) => {
      const [isHeld, reached] = signal();
      const [isReleased, release] = signal();
      const reach = () => {
        reached();
        return isReleased;
      };
      next = { what, reach };
      return { isHeld, release };
    },
  };
}

function signal(): readonly [Promise<void>, () => void] {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return [promise, resolve];
}

async function storedEpoch(): Promise<string> {
  return (await db.prisma.eventLog.findFirstOrThrow()).epoch;
}

/** Another server begins an epoch. @returns its id. */
async function begunElsewhere(): Promise<string> {
  expect(await beginEpoch(db.prisma, await storedEpoch(), "by another server")).toBe(true);
  return storedEpoch();
}

/** Expects that this server knows the stored epoch, and no other one, and that the log goes on in it. */
async function expectKnown(epoch: string): Promise<void> {
  expect(continuity.health?.epoch).toBe(epoch);
  expect(await continuity.check()).toBe(true);
  expect(await continuity.epoch()).toBe(epoch);
  expect(await storedEpoch()).toBe(epoch);
}

describe("a look whose answer comes after another look has learnt of a new epoch", () => {
  test("brings the old one back neither to health nor to those who are told", async () => {
    await submitted(engine);
    await continuity.check();
    const { isHeld, release } = slow.hold("answer");
    const look = continuity.check();
    await isHeld;
    const epoch = await begunElsewhere();
    expect(await continuity.check()).toBe(false);
    release();
    expect(await look).toBe(false);
    expect(told).toEqual([epoch]);
    await expectKnown(epoch);
  });

  test("does not bring back the epoch that it began itself, where a later one has begun", async () => {
    const kept = await submitted(engine);
    await submitted(engine);
    await continuity.check();
    await loseAfter(db.prisma, positionOf(kept));
    const finding = slow.hold("answer");
    const look = continuity.check();
    await finding.isHeld;
    // It has found the loss. Now it begins an epoch, and reads it.
    const own = slow.hold("answer");
    finding.release();
    await own.isHeld;
    const epoch = await begunElsewhere();
    expect(await continuity.check()).toBe(false);
    own.release();
    expect(await look).toBe(false);
    expect(told).toEqual([epoch]);
    await expectKnown(epoch);
  });

  test("is asked again where both were the first of their server, and judges the epoch that is", async () => {
    await submitted(engine);
    const { isHeld, release } = slow.hold("answer");
    const look = continuity.check();
    await isHeld;
    const epoch = await begunElsewhere();
    expect(await continuity.check()).toBe(true);
    release();
    expect(await look).toBe(true);
    expect(told).toEqual([]);
    await expectKnown(epoch);
  });
});

test("a look that asks for what was lost, but reads in the epoch after, begins no second one", async () => {
  const kept = await submitted(engine);
  await submitted(engine);
  await continuity.check();
  await loseAfter(db.prisma, positionOf(kept));
  const { isHeld, release } = slow.hold("statement");
  const look = continuity.check();
  await isHeld;
  expect(await continuity.check()).toBe(false);
  const epoch = await storedEpoch();
  release();
  expect(await look).toBe(false);
  expect(told).toEqual([epoch]);
  await expectKnown(epoch);
});

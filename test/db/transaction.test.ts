import { expect, test } from "vitest";
import { Prisma } from "../../src/db/generated/client/client.ts";
import { readWithRetry } from "../../src/db/transaction.ts";
import { TryAgainError } from "../../src/errors.ts";
import { EVERYWHERE } from "../support/engine.ts";

/** Which failures are a connection that broke, in the words of Node, of `pg`, and of Prisma around them. */

const WORDS = [
  "read ECONNRESET",
  "write EPIPE",
  "connect ECONNREFUSED 127.0.0.1:5432",
  "read ETIMEDOUT",
  "write ECONNABORTED",
  "Connection terminated unexpectedly",
  "Connection terminated: PostgreSQL was silent.",
  "Client has encountered a connection error and is not queryable",
];

/** As Prisma passes on what a driver has no code for. */
function fromPrisma(message: string): Error {
  const text = `\nInvalid \`prisma.$queryRaw()\` invocation:\n\n\n${message}`;
  return new Prisma.PrismaClientKnownRequestError(text, { code: "P2010", clientVersion: "7" });
}

const failures = WORDS.flatMap((message) => [new Error(message), fromPrisma(message)]);

test.each(failures)("a read that fails with $name: $message is tried again", async (failure) => {
  let reads = 0;
  const answer = await readWithRetry(EVERYWHERE, async () => {
    reads += 1;
    if (reads === 1) throw failure;
    return reads;
  });
  expect(answer).toBe(2);
});

test("a connection that breaks each time is TRY_AGAIN", async () => {
  const refused = readWithRetry(EVERYWHERE, () => Promise.reject(new Error("write EPIPE")));
  await expect(refused).rejects.toThrow(TryAgainError);
});

test.each([new Error("column does not exist"), fromPrisma("column does not exist")])(
  "anything else is not: $message",
  async (failure) => {
    let reads = 0;
    const read = () => {
      reads += 1;
      return Promise.reject(failure);
    };
    await expect(readWithRetry(EVERYWHERE, read)).rejects.toBe(failure);
    expect(reads).toBe(1);
  },
);

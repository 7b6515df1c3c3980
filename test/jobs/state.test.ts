import { expect, test } from "vitest";
import { JobState } from "../../src/db/generated/client/enums.ts";
import { canRetry, hasEnded, isTerminal, mayBecome, transitionTo } from "../../src/jobs/state.ts";

const STATES = Object.values(JobState);

/** Section 4, copied from the spec by hand: the table in the code is compared with it, not with itself. */
const SPEC = `
queued | running · failed · cancelled · poisoned
running | awaiting_validation · awaiting_user · completed · completed_with_issues · failed · cancelled · stalled · queued · poisoned
stalled | queued · failed · cancelled · poisoned
awaiting_validation | awaiting_user · completed · completed_with_issues · failed · cancelled · poisoned
awaiting_user | queued · completed · completed_with_issues · failed · cancelled · poisoned
failed | queued · poisoned
completed |
completed_with_issues |
cancelled |
poisoned |`;

const allowed = new Set(
  SPEC.trim()
    .split("\n")
    .flatMap((line) => {
      const [from = "", targets = ""] = line.split("|").map((part) => part.trim());
      return targets.split(" · ").map((to) => `${from} -> ${to}`);
    }),
);

const pairs = STATES.flatMap((from) => STATES.filter((to) => to !== from).map((to) => ({ from, to })));

test.each(pairs)("$from to $to is as section 4 says", ({ from, to }) => {
  expect(mayBecome(from, to)).toBe(allowed.has(`${from.toLowerCase()} -> ${to.toLowerCase()}`));
});

test("the 90 pairs of different states are all there", () => {
  expect(pairs).toHaveLength(90);
  expect(pairs.filter(({ from, to }) => mayBecome(from, to))).toHaveLength(31);
});

test("nothing leaves completed, completed_with_issues, cancelled and poisoned", () => {
  expect(STATES.filter(isTerminal)).toEqual(["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED", "POISONED"]);
});

test("a failed job has ended, though a retry may begin it again", () => {
  expect(hasEnded("FAILED")).toBe(true);
  expect(STATES.filter(hasEnded)).toHaveLength(5);
});

test("a person may have a failed or a stalled job tried again, which section 4 allows of both", () => {
  const retried = STATES.filter(canRetry);
  expect(retried).toEqual(["STALLED", "FAILED"]);
  expect(retried.every((state) => mayBecome(state, "QUEUED"))).toBe(true);
});

test.each(STATES)(
  "a job that becomes %s has a completedAt only where nothing leaves it, and an endedAt where it has ended",
  (state) => {
    const now = new Date("2026-11-22T18:00:00.000Z");
    const waits = { waitsFor: "USER_INPUT", waitsUntil: now } as const;
    expect(transitionTo({ now }, state, "a reason", waits)).toEqual({
      state,
      statusReason: "a reason",
      completedAt: isTerminal(state) ? now : null,
      endedAt: hasEnded(state) ? now : null,
      ...waits,
    });
  },
);

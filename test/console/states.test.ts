import { expect, test } from "vitest";
import { KINDS } from "../../console/src/ui/kind.ts";
import { CAN_CANCEL, CAN_RETRY, STATES } from "../../console/src/ui/states.ts";
import { JobKind, JobState } from "../../src/db/generated/client/enums.ts";
import { canRetry, mayBecome } from "../../src/jobs/state.ts";

/** What the console says of states and kinds, beside what the server has: the page is built without the server. */

const states = Object.values(JobState);

test("the console shows every state, and every kind", () => {
  expect([...STATES].toSorted()).toEqual(states.toSorted());
  expect([...KINDS].toSorted()).toEqual(Object.values(JobKind).toSorted());
});

test("it offers to cancel what can be cancelled, and to retry what can be retried", () => {
  expect([...CAN_CANCEL].toSorted()).toEqual(states.filter((state) => mayBecome(state, "CANCELLED")).toSorted());
  expect([...CAN_RETRY].toSorted()).toEqual(states.filter(canRetry).toSorted());
});

import { expect, test } from "vitest";
import { judge } from "../../src/quotas/admission.ts";
import type { QuotaUse } from "../../src/quotas/use.ts";

/** How a batch is judged, job by job. */

function quota(more: Partial<QuotaUse>): QuotaUse {
  return {
    id: "q-1",
    workspaceId: "w-1",
    capabilityProfileId: null,
    resource: "ACTIVE_JOBS",
    most: 1n,
    windowSeconds: null,
    createdAt: new Date(0),
    updatedAt: new Date(0),
    used: 0n,
    freesAt: null,
    ...more,
  };
}

const job = (workspaceId = "w-1", capabilityProfileId = "default") => ({ workspaceId, capabilityProfileId });
const terminal = job("w-1", "terminal");
const may = (...args: Parameters<typeof judge>) => judge(...args).map((refusal) => (refusal ? "no" : "yes"));

test("a job that may start counts for those after it; one that may not does not", () => {
  const ofTerminal = quota({ id: "q-2", capabilityProfileId: "terminal", most: 3n, used: 2n });
  const quotas = [quota({ most: 5n, used: 2n }), ofTerminal];
  const jobs = [terminal, terminal, job(), terminal, job(), job(), job("w-2")];
  expect(may(jobs, quotas)).toEqual(["yes", "no", "yes", "no", "yes", "no", "yes"]);
});

test("what was spent in a window is no different for the second of a batch", () => {
  const tokens = quota({ resource: "TOKENS", most: 5n, used: 4n, windowSeconds: 60 });
  expect(may([job(), job(), job()], [tokens])).toEqual(["yes", "yes", "yes"]);
  expect(may([job(), job("w-2")], [{ ...tokens, used: 5n }])).toEqual(["no", "yes"]);
});

test("no jobs, and no quotas, are fine", () => {
  expect(judge([], [quota({})])).toEqual([]);
  expect(judge([job(), job()], [])).toEqual([null, null]);
});

test.each([
  ["one tells", [1000], 1000],
  ["several tell: the last of them", [1000, 3000, 2000], 3000],
  ["one of them cannot tell", [1000, null], null],
])("when there is room again, where %s", (_, moments, expected) => {
  const quotas = moments.map((freesAt, index) =>
    quota({ id: `q-${index}`, used: 1n, freesAt: freesAt === null ? null : new Date(freesAt) }),
  );
  expect(judge([job()], quotas)).toMatchObject([{ freesAt: expected === null ? null : new Date(expected) }]);
});

import { expect, test } from "vitest";
import { checkQuotas } from "../../src/quotas/admission.ts";
import type { QuotaUsage } from "../../src/quotas/usage.ts";

/** How a batch is judged, job by job. */

function quota(more: Partial<QuotaUsage>): QuotaUsage {
  return {
    id: "q-1",
    workspaceId: "w-1",
    capabilityProfileId: null,
    resource: "ACTIVE_JOBS",
    max: 1n,
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
const may = (...args: Parameters<typeof checkQuotas>) =>
  checkQuotas(...args).map((refusal) => (refusal ? "no" : "yes"));

test("a job that may start counts for those after it; one that may not does not", () => {
  const ofTerminal = quota({ id: "q-2", capabilityProfileId: "terminal", max: 3n, used: 2n });
  const quotas = [quota({ max: 5n, used: 2n }), ofTerminal];
  const jobs = [terminal, terminal, job(), terminal, job(), job(), job("w-2")];
  expect(may(jobs, quotas)).toEqual(["yes", "no", "yes", "no", "yes", "no", "yes"]);
});

test("what was spent in a window is no different for the second of a batch", () => {
  const tokens = quota({ resource: "TOKENS", max: 5n, used: 4n, windowSeconds: 60 });
  expect(may([job(), job(), job()], [tokens])).toEqual(["yes", "yes", "yes"]);
  expect(may([job(), job("w-2")], [{ ...tokens, used: 5n }])).toEqual(["no", "yes"]);
});

test("no jobs, and no quotas, are fine", () => {
  expect(checkQuotas([], [quota({})])).toEqual([]);
  expect(checkQuotas([job(), job()], [])).toEqual([null, null]);
});

test.each([
  ["one tells", [1000], 1000],
  ["several tell: the last of them", [1000, 3000, 2000], 3000],
  ["one of them cannot tell", [1000, null], null],
])("when there is room again, where %s", (_, moments, expected) => {
  const quotas = moments.map((freesAt, index) =>
    quota({ id: `q-${index}`, used: 1n, freesAt: freesAt === null ? null : new Date(freesAt) }),
  );
  expect(checkQuotas([job()], quotas)).toMatchObject([{ freesAt: expected === null ? null : new Date(expected) }]);
});

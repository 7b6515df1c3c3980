import { expect, test } from "vitest";
import { VIEWS } from "../../console/src/shell/views.ts";
import { VIEWS as SERVED } from "../../src/http/console.ts";

/** The page is there at the address of each of its views, and of a job, which none of its links names. */

test("the server knows the address of every view as one, and no other: its status says so", () => {
  const paths = [...VIEWS.map(({ path }) => path.slice(1)), "jobs"];
  expect([...SERVED].toSorted()).toEqual(paths.toSorted());
});

import { expect, test } from "vitest";
import { follow } from "./quick-start.ts";

/** The quick start of Python, with the `python3` that is found first. */

test("a worker in Python", { timeout: 300_000 }, async () => {
  const { code, stdout, stderr } = await follow("worker-python");
  expect({ code, said: code === 0 ? "" : stderr }).toEqual({ code: 0, said: "" });
  expect(stdout).toMatch(/AWAITING_USER\n[^]*COMPLETED\n\{'summary': 'Write it: done.'\}/);
});

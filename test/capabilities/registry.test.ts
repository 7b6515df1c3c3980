import { expect, test } from "vitest";
import { checkCapability, defaultProfileOf } from "../../src/capabilities/registry.ts";
import { JobKind } from "../../src/storage/generated/client/enums.ts";

const DEFAULT = ["doc.read", "doc.summarize"];
const TERMINAL = ["term.exec"];

test("terminal_exec needs term.exec and gets the profile terminal", () => {
  expect(defaultProfileOf("TERMINAL_EXEC")).toBe("terminal");
  expect(checkCapability("TERMINAL_EXEC", TERMINAL)).toEqual({ granted: true, capability: "term.exec" });
  expect(checkCapability("TERMINAL_EXEC", DEFAULT)).toEqual({ granted: false, capability: "term.exec" });
});

test.each(Object.values(JobKind).filter((kind) => kind !== "TERMINAL_EXEC"))(
  "%s needs doc.summarize and gets the profile default",
  (kind) => {
    expect(defaultProfileOf(kind)).toBe("default");
    expect(checkCapability(kind, DEFAULT)).toEqual({ granted: true, capability: "doc.summarize" });
    expect(checkCapability(kind, TERMINAL)).toEqual({ granted: false, capability: "doc.summarize" });
    expect(checkCapability(kind, [])).toEqual({ granted: false, capability: "doc.summarize" });
  },
);

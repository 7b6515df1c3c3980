/** Loaded into ours before its own code: tells when it had committed, which nobody outside can see. */
import { Signals } from "../../src/recorder/signals.ts";
import { now } from "./clock.ts";

/** The first commit since somebody asked to be told of the next one. */
let committedAt: number | undefined;

// What the product calls right after a commit.
const wake = Reflect.get(Signals.prototype, "wake");
Signals.prototype.wake = function (this: Signals) {
  committedAt ??= now();
  wake.call(this);
};

process.on("message", (message) => {
  if (message === "next commit") {
    committedAt = undefined;
    process.send?.("listening");
  } else if (message === "commit") {
    process.send?.({ at: committedAt });
  }
});

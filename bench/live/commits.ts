/** Loaded into ours before its own code: tells when it had committed, which nobody outside can see. */
import { CommitNotifier } from "../../src/live/notifier.ts";
import { now } from "./clock.ts";

/** The first commit since somebody asked to be told of the next one. */
let committedAt: number | undefined;

// What the product calls right after a commit.
const notify = Reflect.get(CommitNotifier.prototype, "notify");
CommitNotifier.prototype.notify = function (this: CommitNotifier) {
  committedAt ??= now();
  notify.call(this);
};

process.on("message", (message) => {
  if (message === "next commit") {
    committedAt = undefined;
    process.send?.("listening");
  } else if (message === "commit") {
    process.send?.({ at: committedAt });
  }
});

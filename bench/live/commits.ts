/** Loaded into the server before its own code: reports the time of its commits, which is not visible from outside. */
import { CommitNotifier } from "../../src/live/notifier.ts";
import { OutputWatch } from "../../src/output/watch.ts";
import { now } from "./clock.ts";

/** The first commit since the benchmark asked for the next one. */
let committedAt: number | undefined;

// The server calls this right after a commit.
const notify = Reflect.get(CommitNotifier.prototype, "notify");
CommitNotifier.prototype.notify = function (this: CommitNotifier) {
  committedAt ??= now();
  notify.call(this);
};

// Chunks of partial output are told of in a way of their own.
const appended = Reflect.get(OutputWatch.prototype, "appended");
OutputWatch.prototype.appended = function (this: OutputWatch, jobId: string) {
  committedAt ??= now();
  appended.call(this, jobId);
};

process.on("message", (message) => {
  if (message === "next commit") {
    committedAt = undefined;
    process.send?.("listening");
  } else if (message === "commit") {
    process.send?.({ at: committedAt });
  }
});

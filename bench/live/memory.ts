/**
 * Loaded into a server before its own code (`--expose-gc --import`): reports to the benchmark how much memory it needs
 * after a garbage collection.
 */
process.on("message", (message) => {
  if (message !== "memory") return;
  // Twice: the second collection frees what the first one has finalised.
  globalThis.gc?.();
  setTimeout(() => {
    globalThis.gc?.();
    const { heapUsed, external, rss } = process.memoryUsage();
    process.send?.({ held: heapUsed + external, rss });
  }, 200);
});

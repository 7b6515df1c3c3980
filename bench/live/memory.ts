/**
 * Loaded into a server before its own code (`--expose-gc --import`): tells the benchmark that started it how much memory
 * it needs, after the garbage is gone.
 */
process.on("message", (message) => {
  if (message !== "memory") return;
  // Twice: what the first one finalises, the second one frees.
  globalThis.gc?.();
  setTimeout(() => {
    globalThis.gc?.();
    const { heapUsed, external, rss } = process.memoryUsage();
    process.send?.({ held: heapUsed + external, rss });
  }, 200);
});

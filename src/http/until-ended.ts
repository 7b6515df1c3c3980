/**
 * Passes results on, and tells when there will be no more: the last was taken, one failed, or nobody wants them any more.
 * @param onEnd called once or more often.
 */
export function untilEnded<Result>(results: AsyncIterator<Result>, onEnd: () => void): AsyncIterableIterator<Result> {
  return {
    next: async () => {
      let isOver = true;
      try {
        const result = await results.next();
        isOver = result.done === true;
        return result;
      } finally {
        if (isOver) onEnd();
      }
    },
    return: async (value?: unknown) => {
      onEnd();
      return (await results.return?.(value)) ?? { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

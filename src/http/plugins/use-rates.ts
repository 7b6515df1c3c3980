import type { ExecutionArgs, ExecutionResult } from "graphql";
import { isAsyncIterable, type Plugin } from "graphql-yoga";
import type { GraphQLContext } from "../../graphql/context.ts";
import { priceOf } from "../../graphql/operation-price.ts";
import type { RateRefusal, Rates } from "../../rates/rates.ts";
import { rateLimited } from "../rate-limited.ts";
import { untilEnded } from "../until-ended.ts";

type Results = AsyncIterable<ExecutionResult>;

/**
 * Refuses an operation beyond the rates of its principal, before anything of it runs (section 11). It comes after whatever refuses an
 * operation for what it says, which costs nothing, and after the executor is chosen, which it runs itself to know when it ends.
 */
export function useRates(rates: Rates): Plugin<GraphQLContext> {
  return {
    onExecute({ args, executeFn, setExecuteFn, setResultAndStopExecution }) {
      const refuse = (refusal: RateRefusal) => setResultAndStopExecution({ errors: [errorOf(refusal)] });
      const price = priceOf(args);
      if (!price) return;
      const principal = principalOf(args);
      return after(rates.spend(principal, price), (refusal) => {
        if (refusal) return refuse(refusal);
        if (!price.isLongPoll) return;
        const close = rates.openLongPoll(principal);
        if (typeof close === "object") return refuse(close);
        const run: (args: ExecutionArgs) => Promise<ExecutionResult> | ExecutionResult = executeFn;
        setExecuteFn(async (executionArgs: ExecutionArgs) => {
          try {
            return await run(executionArgs);
          } finally {
            close();
          }
        });
      });
    },
    onSubscribe({ args, subscribeFn, setSubscribeFn, setResultAndStopExecution }) {
      const refuse = (refusal: RateRefusal) => setResultAndStopExecution({ errors: [errorOf(refusal)] });
      const price = priceOf(args);
      if (!price) return;
      const principal = principalOf(args);
      return after(rates.spend(principal, price), (refusal) => {
        if (refusal) return refuse(refusal);
        const close = rates.openStream(principal);
        if (typeof close === "object") return refuse(close);
        const run: (args: ExecutionArgs) => Promise<Results | ExecutionResult> = subscribeFn;
        setSubscribeFn(async (executionArgs: ExecutionArgs) => {
          let hasBegun = false;
          try {
            const results = await run(executionArgs);
            if (!isAsyncIterable(results)) return results;
            hasBegun = true;
            return untilEnded(results[Symbol.asyncIterator](), close);
          } finally {
            if (!hasBegun) close();
          }
        });
      });
    },
  };
}

/** Goes on at once where nothing is awaited: Redis is asked now and then only. */
function after<Value>(value: Value | Promise<Value>, goOn: (value: Value) => void): void | Promise<void> {
  if (!(value instanceof Promise)) return goOn(value);
  return (async () => goOn(await value))();
}

function principalOf({ contextValue }: { readonly contextValue: GraphQLContext }): string {
  return contextValue.viewer.principal.name;
}

function errorOf({ message, retryAfterSeconds }: RateRefusal) {
  return rateLimited(message, retryAfterSeconds);
}

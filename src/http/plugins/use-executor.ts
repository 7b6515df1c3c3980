import { type ExecutionArgs, execute, subscribe } from "graphql";
import type { Plugin } from "graphql-yoga";

/**
 * Executes operations with GraphQL's reference executor. Yoga's own takes every object with a key `then` for a promise: a JSON
 * value of a client, or a field under that alias, would fail the operation of everybody who reads it.
 */
export function useExecutor(): Plugin {
  return {
    onExecute: ({ setExecuteFn }) => setExecuteFn((args: ExecutionArgs) => execute(args)),
    onSubscribe: ({ setSubscribeFn }) => setSubscribeFn((args: ExecutionArgs) => subscribe(args)),
  };
}

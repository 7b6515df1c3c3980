import { type ExecutionArgs, execute, getOperationAST, subscribe } from "graphql";
import type { Plugin } from "graphql-yoga";
import type { GraphQLContext } from "../../graphql/context.ts";
import type { Tracing } from "../../tracing/traced.ts";

/** What the transports add to the context. */
interface Transport {
  /** The request, where the operation came by HTTP. */
  readonly request?: Request;
}

/**
 * Executes operations with GraphQL's reference executor. Yoga's own takes every object with a key `then` for a promise: a JSON
 * value of a client, or a field under that alias, would fail the operation of everybody who reads it.
 * @param tracing makes a span of each; undefined for none. A subscription has none: it lasts for days.
 */
export function useExecutor(tracing: Tracing | undefined): Plugin<GraphQLContext & Transport> {
  return {
    onExecute: ({ args: { contextValue }, setExecuteFn }) =>
      setExecuteFn((args: ExecutionArgs) => {
        if (!tracing) return execute(args);
        const traceparent = contextValue.request?.headers.get("traceparent") ?? undefined;
        return tracing.during({ name: nameOf(args), traceparent, traceId: contextValue.traceId }, () => execute(args));
      }),
    onSubscribe: ({ setSubscribeFn }) => setSubscribeFn((args: ExecutionArgs) => subscribe(args)),
  };
}

/** The longest name that a span has; a client may choose any. */
const MAX_NAME = 100;

function nameOf({ document, operationName }: ExecutionArgs): string {
  const operation = getOperationAST(document, operationName);
  return [operation?.operation, operation?.name?.value.slice(0, MAX_NAME)].filter(Boolean).join(" ");
}

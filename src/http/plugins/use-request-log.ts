import type { IncomingMessage } from "node:http";
import { isAsyncIterable, type Plugin } from "graphql-yoga";
import type { GraphQLContext } from "../../graphql/context.ts";
import type { RequestLog } from "../request-log.ts";

/** What the transports add to the context. */
interface Transport {
  /** The request, where the operation came by HTTP. */
  readonly req?: IncomingMessage;
}

/**
 * Logs every operation that is executed, or that is refused before it is for want of a permission, so it stands before usePermissions.
 * It covers all transports, since each of them executes operations through the same pipeline.
 */
export function useRequestLog(requests: RequestLog): Plugin<GraphQLContext & Transport> {
  return {
    onExecute({ args }) {
      const running = requests.begin(args, args.contextValue, args.contextValue.req);
      return {
        onExecuteDone: ({ result }) => running.hasEnded(isAsyncIterable(result) ? undefined : result),
      };
    },
    onSubscribe({ args }) {
      const running = requests.begin(args, args.contextValue, args.contextValue.req);
      return {
        onSubscribeResult: ({ result }) => {
          if (!isAsyncIterable(result)) {
            running.hasEnded(result);
            return;
          }
          running.hasBegun();
          return { onEnd: () => running.hasEnded(undefined) };
        },
      };
    },
  };
}

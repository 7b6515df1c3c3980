import {
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  getOperationAST,
  type OperationDefinitionNode,
} from "graphql";
import type { Plugin } from "graphql-yoga";
import { lacks } from "../../errors.ts";
import type { GraphQLContext } from "../../graphql/context.ts";
import { permissionsNeeded } from "../../graphql/required-permissions.ts";
import type { Permission } from "../../identity/permissions.ts";

/**
 * Refuses an operation whose caller lacks the permission of one of its root fields, before anything of it runs (section 11). It
 * covers all transports, since each of them executes operations through the same pipeline.
 */
export function usePermissions(): Plugin<GraphQLContext> {
  // Documents are kept, and so is what their operations need.
  const known = new WeakMap<OperationDefinitionNode, ReadonlySet<Permission>>();
  const neededBy = ({ schema, document, operationName }: ExecutionArgs): ReadonlySet<Permission> => {
    const operation = getOperationAST(document, operationName);
    // The executor says that there is no such operation.
    if (!operation) return NONE;
    const needed = known.get(operation) ?? permissionsNeeded(schema, document, operation);
    known.set(operation, needed);
    return needed;
  };
  const refusalOf = (args: ExecutionArgs, { viewer }: GraphQLContext): ExecutionResult | undefined => {
    const missing = [...neededBy(args)].find((permission) => !viewer.permissions.has(permission));
    return missing === undefined ? undefined : { errors: [forbidden(missing)] };
  };
  return {
    onExecute({ args, setResultAndStopExecution }) {
      const refusal = refusalOf(args, args.contextValue);
      if (refusal) setResultAndStopExecution(refusal);
    },
    onSubscribe({ args, setResultAndStopExecution }) {
      const refusal = refusalOf(args, args.contextValue);
      if (refusal) setResultAndStopExecution(refusal);
    },
  };
}

const NONE: ReadonlySet<Permission> = new Set();

function forbidden(permission: Permission): GraphQLError {
  const { message, code } = lacks(permission);
  return new GraphQLError(message, { extensions: { code, http: { status: 403 } } });
}

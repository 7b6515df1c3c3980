import SchemaBuilder, { BasePlugin, type PothosOutputFieldConfig, type SchemaTypes } from "@pothos/core";
import type { GraphQLFieldResolver } from "graphql";
import { AppError, type ErrorCode } from "../errors.ts";

/**
 * Notes the codes of the errors that mutations answer as members of their unions, for the log: such an answer is a success to whoever
 * sees its `data` alone. It stands after the errors plugin, which turns what is thrown here into that member, by the resolver or by the
 * validation of its arguments.
 */
class OutcomePlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override wrapResolve(resolver: Resolver<Types>, { kind }: PothosOutputFieldConfig<Types>): Resolver<Types> {
    return kind === "Mutation" ? noting(resolver) : resolver;
  }

  override wrapArgMappers(
    resolver: Resolver<Types> | undefined,
    { kind }: PothosOutputFieldConfig<Types>,
  ): Resolver<Types> | undefined {
    return kind === "Mutation" && resolver ? noting(resolver) : resolver;
  }
}

type Resolver<Types extends SchemaTypes> = GraphQLFieldResolver<unknown, Types["Context"], object>;

function noting<Types extends SchemaTypes>(resolver: Resolver<Types>): Resolver<Types> {
  return async (root, args, context, info) => {
    try {
      return await resolver(root, args, context, info);
    } catch (error) {
      if (error instanceof AppError) note(context, error.code);
      throw error;
    }
  };
}

const codesByContext = new WeakMap<object, Set<ErrorCode>>();

function note(context: object, code: ErrorCode): void {
  const codes = codesByContext.get(context) ?? new Set();
  codesByContext.set(context, codes.add(code));
}

/** @returns the codes of the errors that the mutations of an operation have answered as data, by the operation's context. */
export function answeredErrors(context: object): ReadonlySet<ErrorCode> {
  return codesByContext.get(context) ?? new Set();
}

/** The plugin's name, for the builder. */
export const OUTCOME = "outcome" as const;

declare global {
  export namespace PothosSchemaTypes {
    export interface Plugins<Types extends SchemaTypes> {
      outcome: OutcomePlugin<Types>;
    }
  }
}

SchemaBuilder.registerPlugin(OUTCOME, OutcomePlugin);

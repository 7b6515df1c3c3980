import {
  type ASTVisitor,
  type ExecutionArgs,
  execute,
  type FragmentDefinitionNode,
  GraphQLError,
  type InlineFragmentNode,
  Kind,
  type SelectionNode,
  subscribe,
  type ValidationContext,
} from "graphql";
import type { Plugin } from "graphql-yoga";

/**
 * Executes operations with GraphQL's reference executor. Yoga's own takes every object with a key `then` for a promise: a JSON
 * value of a client, or a field under that alias, would fail the operation of everybody who reads it.
 */
export function useExecutor(): Plugin {
  return {
    onValidate: ({ addValidationRule }) => addValidationRule(unconditionalSubscription),
    onExecute: ({ setExecuteFn }) => setExecuteFn((args: ExecutionArgs) => execute(args)),
    onSubscribe: ({ setSubscribeFn }) => setSubscribeFn((args: ExecutionArgs) => subscribe(args)),
  };
}

/** Refuses a subscription whose root field may be left out: there would be nothing to subscribe to, and the executor fails. */
function unconditionalSubscription(context: ValidationContext): ASTVisitor {
  /** @param seen the fragments that were looked at: each is looked at once, however often it is spread. */
  const isConditional = (selection: SelectionNode, seen: Set<string>): boolean => {
    if (selection.directives?.some(({ name }) => name.value === "skip" || name.value === "include")) return true;
    if (selection.kind === Kind.FIELD) return false;
    let within: InlineFragmentNode | FragmentDefinitionNode | null | undefined;
    if (selection.kind === Kind.INLINE_FRAGMENT) within = selection;
    else if (!seen.has(selection.name.value)) within = context.getFragment(selection.name.value);
    if (selection.kind === Kind.FRAGMENT_SPREAD) seen.add(selection.name.value);
    return within?.selectionSet.selections.some((inner) => isConditional(inner, seen)) ?? false;
  };
  return {
    OperationDefinition({ operation, selectionSet: { selections } }) {
      const seen = new Set<string>();
      const conditional = operation === "subscription" && selections.find((root) => isConditional(root, seen));
      if (!conditional) return;
      const message = "The field of a subscription must not have @skip or @include.";
      context.reportError(new GraphQLError(message, { nodes: conditional }));
    },
  };
}

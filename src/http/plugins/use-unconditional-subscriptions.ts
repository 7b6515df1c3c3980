import {
  type ASTVisitor,
  type FragmentDefinitionNode,
  GraphQLError,
  type InlineFragmentNode,
  Kind,
  type SelectionNode,
  type ValidationContext,
} from "graphql";
import type { Plugin } from "graphql-yoga";

/** Refuses a subscription whose root field may be left out: there would be nothing to subscribe to, and the executor fails. */
export function useUnconditionalSubscriptions(): Plugin {
  return { onValidate: ({ addValidationRule }) => addValidationRule(unconditionalSubscription) };
}

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

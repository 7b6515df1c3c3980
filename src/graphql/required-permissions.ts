import {
  type ASTNode,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLField,
  type GraphQLSchema,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} from "graphql";
import { PERMISSIONS, type Permission } from "../identity/permissions.ts";
import type { FieldPermission } from "./permission-plugin.ts";

/**
 * Finds what an operation needs: the permission of each of its root fields, and of those below that name one (section 11). One that
 * @skip or @include may leave out counts all the same, so that what is allowed does not depend on variables.
 * @param document the document that the operation is of, with its fragments.
 * @returns the permissions, each once.
 */
export function permissionsNeeded(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
): ReadonlySet<Permission> {
  const types = new TypeInfo(schema);
  const needed = new Set<Permission>();
  // The operation, and each fragment that is spread in what comes before it, once.
  const parts = new Set<ASTNode>([operation]);
  const visitor = visitWithTypeInfo(types, {
    Field: () => {
      const permission = permissionOf(types.getFieldDef());
      if (permission !== undefined && permission !== "ANY_PRINCIPAL") needed.add(permission);
    },
    FragmentSpread: ({ name }) => {
      const fragment = fragmentOf(document, name.value);
      if (fragment) parts.add(fragment);
    },
  });
  for (const part of parts) visit(part, visitor);
  return needed;
}

/** @returns what a field asks of its caller; undefined where it asks nothing, as a field of the introspection. */
export function permissionOf(field: GraphQLField<unknown, unknown> | null | undefined): FieldPermission | undefined {
  const permission: unknown = field?.extensions.permission;
  return permission === "ANY_PRINCIPAL" || isPermission(permission) ? permission : undefined;
}

function isPermission(value: unknown): value is Permission {
  return typeof value === "string" && Object.hasOwn(PERMISSIONS, value);
}

/**
 * Finds the root fields of an operation, those in fragments included.
 * @param document the document that the operation is of, with its fragments.
 */
export function rootFieldsOf({ selectionSet }: OperationDefinitionNode, document: DocumentNode): readonly FieldNode[] {
  return fieldsOf(selectionSet, document, new Set());
}

/** @param seen the fragments that were looked at: each is looked at once, however often it is spread. */
function fieldsOf({ selections }: SelectionSetNode, document: DocumentNode, seen: Set<string>): readonly FieldNode[] {
  return selections.flatMap((selection): readonly FieldNode[] => {
    switch (selection.kind) {
      case Kind.FIELD:
        return [selection];
      case Kind.INLINE_FRAGMENT:
        return fieldsOf(selection.selectionSet, document, seen);
      case Kind.FRAGMENT_SPREAD: {
        const name = selection.name.value;
        const fragment = seen.has(name) ? undefined : fragmentOf(document, name);
        seen.add(name);
        return fragment ? fieldsOf(fragment.selectionSet, document, seen) : [];
      }
    }
  });
}

function fragmentOf({ definitions }: DocumentNode, name: string): FragmentDefinitionNode | undefined {
  return definitions.find(
    (definition): definition is FragmentDefinitionNode =>
      definition.kind === Kind.FRAGMENT_DEFINITION && definition.name.value === name,
  );
}

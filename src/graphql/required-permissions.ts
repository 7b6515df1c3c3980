import {
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLObjectType,
  type GraphQLSchema,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from "graphql";
import { PERMISSIONS, type Permission } from "../identity/permissions.ts";
import type { FieldPermission } from "./permission-plugin.ts";

/**
 * Finds what an operation needs: the permission of each of its root fields (section 11). One that @skip or @include may leave out
 * counts all the same, so that what is allowed does not depend on variables.
 * @param document the document that the operation is of, with its fragments.
 * @returns the permissions, each once.
 */
export function permissionsNeeded(
  schema: GraphQLSchema,
  document: DocumentNode,
  { operation, selectionSet }: OperationDefinitionNode,
): ReadonlySet<Permission> {
  const root = schema.getRootType(operation);
  return new Set(root ? fieldsOf(selectionSet, document, new Set()).flatMap((name) => needed(root, name)) : []);
}

function needed(root: GraphQLObjectType, fieldName: string): Permission[] {
  const permission = permissionOf(root, fieldName);
  return permission === undefined || permission === "ANY_PRINCIPAL" ? [] : [permission];
}

/** @returns what a root field asks of its caller; undefined for a field of the introspection, which is of no type. */
export function permissionOf(root: GraphQLObjectType, fieldName: string): FieldPermission | undefined {
  const permission: unknown = root.getFields()[fieldName]?.extensions.permission;
  return permission === "ANY_PRINCIPAL" || isPermission(permission) ? permission : undefined;
}

function isPermission(value: unknown): value is Permission {
  return typeof value === "string" && Object.hasOwn(PERMISSIONS, value);
}

/** @param seen the fragments that were looked at: each is looked at once, however often it is spread. */
function fieldsOf({ selections }: SelectionSetNode, document: DocumentNode, seen: Set<string>): readonly string[] {
  return selections.flatMap((selection): readonly string[] => {
    switch (selection.kind) {
      case Kind.FIELD:
        return [selection.name.value];
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

import SchemaBuilder, {
  BasePlugin,
  type FieldNullability,
  type InputFieldMap,
  type PothosOutputFieldConfig,
  type SchemaTypes,
  type TypeParam,
} from "@pothos/core";
import type { Permission } from "../identity/permissions.ts";

/** What a field asks of who calls it: a permission, or no more than to be a principal. */
export type FieldPermission = Permission | "ANY_PRINCIPAL";

/**
 * Makes every field of Query, Mutation and Subscription name its permission: a schema in which one does not cannot be built. The
 * field's description ends with it, and `usePermissions` checks it before anything runs. A field below the root may name one, too.
 */
class PermissionPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override onOutputFieldConfig(fieldConfig: PothosOutputFieldConfig<Types>): PothosOutputFieldConfig<Types> {
    const { parentType, name, kind, pothosOptions, description, extensions } = fieldConfig;
    const isOfRoot = kind === "Query" || kind === "Mutation" || kind === "Subscription";
    const { permission } = pothosOptions;
    if (permission === undefined && !isOfRoot) return fieldConfig;
    if (permission === undefined) throw new Error(`${parentType}.${name} names no permission.`);
    return {
      ...fieldConfig,
      description: `${description ?? ""} ${needs(permission)}`.trim(),
      extensions: { ...extensions, permission },
    };
  }
}

function needs(permission: FieldPermission): string {
  return permission === "ANY_PRINCIPAL" ? "Needs no permission but a valid identity." : `Needs ${permission}.`;
}

/** The plugin's name, for the builder. */
export const PERMISSION = "permission" as const;

declare global {
  export namespace PothosSchemaTypes {
    export interface Plugins<Types extends SchemaTypes> {
      permission: PermissionPlugin<Types>;
    }

    // Merged with the builder's own interface, whose parameters it must repeat.
    export interface FieldOptions<
      Types extends SchemaTypes = SchemaTypes,
      ParentShape = unknown,
      Type extends TypeParam<Types> = TypeParam<Types>,
      Nullable extends FieldNullability<Type> = FieldNullability<Type>,
      Args extends InputFieldMap = InputFieldMap,
      ResolveShape = unknown,
      ResolveReturnShape = unknown,
    > {
      /** What the field asks of who calls it. Each field of Query, Mutation and Subscription must name it; others may. */
      permission?: FieldPermission;
    }
  }
}

SchemaBuilder.registerPlugin(PERMISSION, PermissionPlugin);

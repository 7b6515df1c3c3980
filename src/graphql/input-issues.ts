import SchemaBuilder, { BasePlugin, type PothosOutputFieldConfig, type SchemaTypes } from "@pothos/core";
import {
  type GraphQLInputObjectType,
  type GraphQLInputType,
  type GraphQLNamedType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
} from "graphql";
import { z } from "zod";
import { type InputIssue, InvalidInputError, MAX_ISSUES } from "../errors.ts";
import { quote } from "../quote.ts";

/**
 * Makes a refusal of the validation plugin name every fault of the input. The plugin stops at the first fault of an object, and
 * a form would be told of one fault after another. Only a refused input is walked through.
 */
class AllIssuesPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override onOutputFieldConfig(fieldConfig: PothosOutputFieldConfig<Types>): PothosOutputFieldConfig<Types> {
    const { parentType, name, argMappers } = fieldConfig;
    fieldConfig.argMappers = argMappers.map((mapper): typeof mapper => (args, context, info) => {
      try {
        return mapper(args, context, info);
      } catch (error) {
        if (!(error instanceof InvalidInputError)) throw error;
        const issues = issuesOfArguments(args, info.schema.getType(parentType), name);
        throw issues.length > error.issues.length ? refusalOf(issues) : error;
      }
    });
    return fieldConfig;
  }
}

/** The plugin's name, for the builder. It stands before the validation plugin: the builder lets later ones act first. */
export const ALL_ISSUES = "allIssues" as const;

declare global {
  export namespace PothosSchemaTypes {
    export interface Plugins<Types extends SchemaTypes> {
      allIssues: AllIssuesPlugin<Types>;
    }
  }
}

SchemaBuilder.registerPlugin(ALL_ISSUES, AllIssuesPlugin);

/** The refusal of an input with these faults, at least one. */
export function refusalOf(issues: readonly InputIssue[]): InvalidInputError {
  const words = issues.slice(0, MAX_ISSUES).map(({ path, message }) => `${path.map(quote).join(".")}: ${message}.`);
  return new InvalidInputError(issues[0]?.path ?? [], `${words.join(" ")} Nothing was changed.`, issues);
}

function issuesOfArguments(
  args: Readonly<Record<string, unknown>>,
  parent: GraphQLNamedType | undefined,
  fieldName: string,
): InputIssue[] {
  const field = isObjectType(parent) ? parent.getFields()[fieldName] : undefined;
  return (field?.args ?? []).flatMap(({ name, type, extensions }) => issuesOf(type, extensions, args[name], [name]));
}

/** What a type, or a field of one, is validated by; the validation plugin keeps its schemas there. */
const validated = z.object({ "@pothos/plugin-validation": z.object({ schemas: z.array(z.custom<z.ZodType>()) }) });

/** The faults of a value: those of its parts, or, where its parts are right, its own. */
function issuesOf(
  type: GraphQLInputType,
  extensions: object,
  value: unknown,
  path: readonly string[],
): readonly InputIssue[] {
  if (value === null || value === undefined) return [];
  const parts = issuesOfParts(type, value, path);
  if (parts.length > 0) return parts;
  const named = isNonNullType(type) ? type.ofType : type;
  const ofType = isInputObjectType(named) ? schemasIn(named.extensions) : [];
  // As the validation plugin has it: a field that was left out is there, and undefined.
  const whole = isInputObjectType(named) ? { ...forEachField(named, () => undefined), ...value } : value;
  return [...schemasIn(extensions), ...ofType].flatMap((schema) =>
    (schema.safeParse(whole).error?.issues ?? []).map((issue) => ({
      path: [...path, ...issue.path.map(String)],
      message: issue.message,
    })),
  );
}

function issuesOfParts(type: GraphQLInputType, value: unknown, path: readonly string[]): readonly InputIssue[] {
  if (isNonNullType(type)) return issuesOfParts(type.ofType, value, path);
  if (isListType(type) && Array.isArray(value)) {
    const items: readonly unknown[] = value;
    const issues: InputIssue[] = [];
    for (const [index, item] of items.entries()) {
      issues.push(...issuesOf(type.ofType, {}, item, [...path, String(index)]));
      // No more are told, and there may be thousands.
      if (issues.length >= MAX_ISSUES) break;
    }
    return issues;
  }
  if (!isInputObjectType(type) || typeof value !== "object" || value === null) return [];
  return Object.values(type.getFields()).flatMap(({ name, type: fieldType, extensions }) =>
    issuesOf(fieldType, extensions, Reflect.get(value, name), [...path, name]),
  );
}

function forEachField<Value>(type: GraphQLInputObjectType, valueOf: (name: string) => Value): Record<string, Value> {
  return Object.fromEntries(Object.keys(type.getFields()).map((name) => [name, valueOf(name)]));
}

function schemasIn(extensions: object): readonly z.ZodType[] {
  return validated.safeParse(extensions).data?.["@pothos/plugin-validation"].schemas ?? [];
}

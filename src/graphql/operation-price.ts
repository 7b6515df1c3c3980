import { complexityFromQuery } from "@pothos/plugin-complexity";
import {
  type DocumentNode,
  type ExecutionArgs,
  type FieldNode,
  type GraphQLField,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  getOperationAST,
  isInputObjectType,
  Kind,
  type OperationDefinitionNode,
  OperationTypeNode,
  TypeInfo,
  type ValueNode,
  valueFromASTUntyped,
  visit,
  visitWithTypeInfo,
} from "graphql";
import type { Price } from "../rates/rates.ts";
import { LIMIT } from "./builder.ts";
import { rootFieldsOf } from "./required-permissions.ts";

declare module "graphql" {
  interface GraphQLFieldExtensions<_TSource, _TContext, _TArgs> {
    /** Of a mutation: the path of the argument whose items, or whose number, are its commands. One command where there is none. */
    commandsBy?: readonly string[];
    /** Of a mutation whose argument is the number of its commands: how many of them it runs before the answer at most; it is charged for no more. */
    maxCommands?: number;
    /** Of a mutation: the path of the argument that says how many seconds it may wait. */
    waitsBy?: readonly string[];
  }
}

/** Complexity of the answer of a mutation for which it costs one command more. */
const UNITS_PER_COMMAND = 1_000;
/** The units of a look at the schema: the work of a long list. */
const INTROSPECTION_UNITS = 5_000;

type Variables = Readonly<Record<string, unknown>>;

/** What can be known of an operation without its variables. */
interface Analysis {
  readonly root: GraphQLObjectType;
  readonly rootFields: readonly FieldNode[];
  /** The operation alone with its fragments, and with those variables alone on which its complexity depends. */
  readonly document: DocumentNode;
  /** Its units where they depend on no variable, once they were counted. */
  units: number | undefined;
  readonly isConstant: boolean;
}

const analyses = new WeakMap<OperationDefinitionNode, Analysis>();

/**
 * What an operation costs, with its real arguments (section 11): a query and the beginning of a subscription units, as many as the
 * complexity plugin counts; a mutation commands, one for each field or for each item of its list, and one more for each 1,000 units
 * of its answer.
 * @returns undefined where there is no such operation, which the executor says.
 */
export function priceOf({ schema, document, operationName, variableValues }: ExecutionArgs): Price | undefined {
  const operation = getOperationAST(document, operationName);
  const root = operation && schema.getRootType(operation.operation);
  if (!operation || !root) return undefined;
  const analysis = analyses.get(operation) ?? analyse(schema, document, operation, root);
  analyses.set(operation, analysis);
  const variables = withDefaults(operation, variableValues ?? {});
  const units = unitsOf(schema, analysis, variables);
  if (operation.operation !== OperationTypeNode.MUTATION) return { units, commands: 0, isLongPoll: false };
  const ownCommands = analysis.rootFields.reduce((sum, field) => sum + commandsOf(root, field, variables), 0);
  return {
    units,
    commands: ownCommands + Math.floor(units / UNITS_PER_COMMAND),
    isLongPoll: analysis.rootFields.some((field) => waitsFor(root, field, variables)),
  };
}

function analyse(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  root: GraphQLObjectType,
): Analysis {
  const fragments = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  const names = variablesOfComplexity(schema, { kind: Kind.DOCUMENT, definitions: [operation, ...fragments] });
  const variableDefinitions = operation.variableDefinitions?.filter(({ variable }) => names.has(variable.name.value));
  const reduced = { ...operation, variableDefinitions: variableDefinitions ?? [] };
  return {
    root,
    rootFields: rootFieldsOf(operation, document),
    document: { kind: Kind.DOCUMENT, definitions: [reduced, ...fragments] },
    units: undefined,
    isConstant: names.size === 0,
  };
}

/** The variables in the arguments of fields whose complexity depends on their arguments. */
function variablesOfComplexity(schema: GraphQLSchema, document: DocumentNode): ReadonlySet<string> {
  const names = new Set<string>();
  const typeInfo = new TypeInfo(schema);
  const collect = {
    Variable({ name }: { readonly name: { readonly value: string } }) {
      names.add(name.value);
    },
  };
  visit(
    document,
    visitWithTypeInfo(typeInfo, {
      Field(node) {
        if (typeof typeInfo.getFieldDef()?.extensions.complexity !== "function") return;
        for (const argument of node.arguments ?? []) visit(argument, collect);
      },
    }),
  );
  return names;
}

function unitsOf(schema: GraphQLSchema, analysis: Analysis, variables: Variables): number {
  if (analysis.units !== undefined) return analysis.units;
  const introspections = analysis.rootFields.filter(
    ({ name }) => name.value.startsWith("__") && name.value !== "__typename",
  );
  const units = INTROSPECTION_UNITS * introspections.length + complexityOf(schema, analysis, variables);
  // What is beyond the limit is refused, and costs no more than what is just within it.
  const bounded = Math.min(LIMIT.complexity, Math.max(1, Math.ceil(units)));
  if (analysis.isConstant) analysis.units = bounded;
  return bounded;
}

function complexityOf(schema: GraphQLSchema, { document }: Analysis, variables: Variables): number {
  try {
    return complexityFromQuery(document, { schema, variables: { ...variables } }).complexity;
  } catch {
    // A variable, or an argument, is not what it must be: the executor says so, and runs nothing.
    return 1;
  }
}

function commandsOf(root: GraphQLObjectType, node: FieldNode, variables: Variables): number {
  const field = root.getFields()[node.name.value];
  const path = field?.extensions.commandsBy;
  if (!field || !path) return 1;
  const value = valueAt(field, node, path, variables);
  if (Array.isArray(value)) return Math.max(1, value.length);
  const { maxCommands = Number.POSITIVE_INFINITY } = field.extensions;
  return typeof value === "number" && value > 1 ? Math.min(value, maxCommands) : 1;
}

function waitsFor(root: GraphQLObjectType, node: FieldNode, variables: Variables): boolean {
  const field = root.getFields()[node.name.value];
  const path = field?.extensions.waitsBy;
  return field !== undefined && path !== undefined && Number(valueAt(field, node, path, variables)) > 0;
}

/** A value inside a field's arguments, as it was sent: to read all of them as GraphQL does would take as long as the largest. */
function valueAt(
  field: GraphQLField<unknown, unknown>,
  { arguments: nodes = [] }: FieldNode,
  [name, ...keys]: readonly string[],
  variables: Variables,
): unknown {
  const argument = field.args.find((each) => each.name === name);
  const node = nodes.find((each) => each.name.value === name)?.value;
  let value: unknown = node && valueOf(node, variables);
  let type = argument && getNamedType(argument.type);
  for (const key of keys) {
    const inputField = isInputObjectType(type) ? type.getFields()[key] : undefined;
    const given: unknown = typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
    value = given ?? inputField?.defaultValue;
    type = inputField && getNamedType(inputField.type);
  }
  return value;
}

function valueOf(node: ValueNode, variables: Variables): unknown {
  return valueFromASTUntyped(node, { ...variables });
}

function withDefaults({ variableDefinitions = [] }: OperationDefinitionNode, variables: Variables): Variables {
  const defaults = variableDefinitions.flatMap(({ variable, defaultValue }) =>
    defaultValue && variables[variable.name.value] === undefined
      ? [[variable.name.value, valueFromASTUntyped(defaultValue)] as const]
      : [],
  );
  return defaults.length === 0 ? variables : { ...variables, ...Object.fromEntries(defaults) };
}

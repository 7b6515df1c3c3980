import {
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLOutputType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isRequiredArgument,
  isRequiredInputField,
  OperationTypeNode,
} from "graphql";

/**
 * Requests for every field of Query, Mutation and Subscription, made from the schema: what a field takes, which of that are ids, and
 * a document that selects what it answers.
 */

export interface RootField {
  readonly operation: OperationTypeNode;
  readonly field: GraphQLField<unknown, unknown>;
}

/** @returns the fields of Query, Mutation and Subscription, in this order. */
export function rootFieldsOf(schema: GraphQLSchema): readonly RootField[] {
  return [OperationTypeNode.QUERY, OperationTypeNode.MUTATION, OperationTypeNode.SUBSCRIPTION].flatMap((operation) =>
    Object.values(schema.getRootType(operation)?.getFields() ?? {}).map((field) => ({ operation, field })),
  );
}

/** An argument of a field, or a value inside of one, that names something: an id, a global id, a cursor, a key, a token. */
export interface IdPath {
  /** Such as `cancelAiJob.input.jobId`. */
  readonly path: string;
  readonly isRequired: boolean;
}

/** Texts that name something, by what they are called. */
const NAMES_SOMETHING = /(?:^|[a-z])(?:Ids?|ids?|Key|Token|[Cc]ursor)$|^(?:after|before)$/;
const ID_SCALARS: readonly string[] = ["ID", "UUID", "Cursor"];

/** @returns the paths of all ids that a field takes. */
export function idPathsOf({ field }: RootField): readonly IdPath[] {
  return inputsOf(field).flatMap((input) => idPathsBelow(input, field.name, true));
}

interface Input {
  readonly name: string;
  readonly type: GraphQLInputType;
  readonly isRequired: boolean;
}

function inputsOf({ args }: GraphQLField<unknown, unknown>): readonly Input[] {
  return args.map((argument) => ({ ...argument, isRequired: isRequiredArgument(argument) }));
}

function inputsBelow(type: GraphQLInputType): readonly Input[] | undefined {
  const named = getNamedType(type);
  if (!isInputObjectType(named)) return undefined;
  return Object.values(named.getFields()).map((field) => ({ ...field, isRequired: isRequiredInputField(field) }));
}

function idPathsBelow({ name, type, isRequired }: Input, parent: string, isParentRequired: boolean): IdPath[] {
  const path = `${parent}.${name}`;
  const isAlways = isParentRequired && isRequired;
  const below = inputsBelow(type);
  if (below) return below.flatMap((input) => idPathsBelow(input, path, isAlways));
  const scalar = getNamedType(type).name;
  const isId = ID_SCALARS.includes(scalar) || (scalar === "String" && NAMES_SOMETHING.test(name));
  return isId ? [{ path, isRequired: isAlways }] : [];
}

/** What a request sends, by path. What is not in it and not required is left out. */
export type Values = Readonly<Record<string, unknown>>;

/** @returns the variables of a field's document: the values, and for whatever else is required something that is valid. */
export function variablesOf({ field }: RootField, values: Values): Readonly<Record<string, unknown>> {
  return objectOf(inputsOf(field), field.name, values);
}

function objectOf(inputs: readonly Input[], parent: string, values: Values): Readonly<Record<string, unknown>> {
  const isGiven = (path: string) => Object.keys(values).some((each) => each === path || each.startsWith(`${path}.`));
  return Object.fromEntries(
    inputs
      .map((input) => ({ ...input, path: `${parent}.${input.name}` }))
      .filter(({ path, isRequired }) => isRequired || isGiven(path) || REQUIRED_UNLESS[path]?.(isGiven) === false)
      .map(({ name, type, path }) => [name, valueOf(type, path, values)]),
  );
}

/** What is not required by its type, and refused where it is missing: unless something else is given. */
const REQUIRED_UNLESS: Readonly<Record<string, (isGiven: (path: string) => boolean) => boolean>> = {
  "advanceWorkflow.input.step": (isGiven) => isGiven("advanceWorkflow.input.steps"),
};

function valueOf(type: GraphQLInputType, path: string, values: Values): unknown {
  if (isNonNullType(type)) return valueOf(type.ofType, path, values);
  if (isListType(type)) return [valueOf(type.ofType, path, values)];
  if (isInputObjectType(type)) return objectOf(inputsBelow(type) ?? [], path, values);
  if (path in values) return values[path];
  if (path in SAMPLES_AT) return SAMPLES_AT[path]?.();
  if (isEnumType(type)) return type.getValues()[0]?.name;
  const value = SAMPLES[type.name];
  if (value === undefined) throw new Error(`${path} is required, and nothing says what a valid ${type.name} is.`);
  return value;
}

const DAY_MS = 86_400_000;
const dayFromNow = (days: number) => new Date((Math.floor(Date.now() / DAY_MS) + days) * DAY_MS).toISOString();

/** Where not every value of a type is valid. */
const SAMPLES_AT: Readonly<Record<string, () => unknown>> = {
  "aiJobUsage.from": () => dayFromNow(-1),
  "aiJobUsage.to": () => dayFromNow(2),
};

const SAMPLES: Readonly<Record<string, unknown>> = {
  // Without a space: names of models have none.
  String: "a-text",
  Int: 1,
  SafeInt: 1,
  Boolean: false,
  JSON: {},
  DateTime: "2999-01-01T00:00:00.000Z",
  ID: "QWlKb2I6MDFhMjFjMjgtN2UwYi03NWZjLTgwMmEtYzhmMzEzOTAzNzhj",
  UUID: "01a21c28-7e0b-75fc-802a-c8f31390378c",
};

/**
 * @param names of the arguments that the document declares and passes.
 * @param depth how many objects deep it selects; 0 for `__typename` alone.
 * @returns a document with this one field.
 */
export function documentOf(
  { operation, field }: RootField,
  schema: GraphQLSchema,
  names: readonly string[],
  depth: number,
): string {
  const given = field.args.filter(({ name }) => names.includes(name));
  const declared = given.map(({ name, type }) => `$${name}: ${String(type)}`).join(", ");
  const passed = given.map(({ name }) => `${name}: $${name}`).join(", ");
  const selection = selectionOf(field.type, schema, depth);
  return `${operation} ${declared && `(${declared})`} { ${field.name}${passed && `(${passed})`} ${selection} }`;
}

/** Objects that are only there to hold others: they are selected without counting as a level. */
const WRAPPER = /(?:Connection|Edge|Payload)$/;

function selectionOf(output: GraphQLOutputType, schema: GraphQLSchema, depth: number): string {
  const type = getNamedType(output);
  if (isLeafType(type)) return "";
  if (depth === 0) return "{ __typename }";
  if (isAbstractType(type)) {
    const members = schema
      .getPossibleTypes(type)
      .map((member) => `... on ${member.name} ${selectionOf(member, schema, depth)}`);
    return `{ __typename ${members.join(" ")} }`;
  }
  const left = WRAPPER.test(type.name) ? depth : depth - 1;
  const selected = Object.values(type.getFields())
    .filter((field) => !field.args.some(isRequiredArgument))
    // The rows of `edges` are those of `nodes`.
    .filter(({ name }) => name !== "edges" || !("nodes" in type.getFields()))
    .filter((field) => isLeafType(getNamedType(field.type)) || left > 0)
    .map((field) => {
      const page = field.args.some(({ name }) => name === "first") ? "(first: 2)" : "";
      // Members of a union may have fields of one name with different types.
      return `${type.name}_${field.name}: ${field.name}${page} ${selectionOf(field.type, schema, left)}`;
    });
  return `{ __typename ${selected.join(" ")} }`;
}

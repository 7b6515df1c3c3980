import {
  astFromValue,
  type GraphQLArgument,
  type GraphQLInputField,
  type GraphQLNamedType,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
  isScalarType,
  isSpecifiedScalarType,
  isUnionType,
  print,
} from "graphql";

/** One thing that a client can name or rely on. */
export interface SchemaElement {
  /** `Type`, `Type.field`, `Type.field(argument:)`, `Enum.VALUE`, `Type & Interface` or `Union | Member`. */
  readonly coordinate: string;
  /** What must be equal for clients not to notice a difference: the kind, or the type with its default value. */
  readonly signature: string;
  /** Whether a request fails that leaves it out. */
  readonly required: boolean;
  /** Undefined where the language has no place for one. */
  readonly description: string | undefined;
}

/** Every element of a schema but the built-in ones, parents before their members. */
export function elementsOf(schema: GraphQLSchema): readonly SchemaElement[] {
  return Object.values(schema.getTypeMap())
    .filter((type) => !isIntrospectionType(type) && !isSpecifiedScalarType(type))
    .flatMap((type) => [element(type.name, kindOf(type), type.description), ...membersOf(type)]);
}

function kindOf(type: GraphQLNamedType): string {
  if (isScalarType(type)) return "scalar";
  if (isObjectType(type)) return "type";
  if (isInterfaceType(type)) return "interface";
  if (isUnionType(type)) return "union";
  return isEnumType(type) ? "enum" : "input";
}

function membersOf(type: GraphQLNamedType): SchemaElement[] {
  if (isUnionType(type)) return type.getTypes().map((member) => link(type, "|", member));
  if (isEnumType(type))
    return type.getValues().map((it) => element(`${type.name}.${it.name}`, "value", it.description));
  if (isInputObjectType(type)) {
    return Object.values(type.getFields()).map((field) =>
      input(`${type.name}.${field.name}`, field, isRequiredInputField(field)),
    );
  }
  if (isScalarType(type)) return [];
  return [
    ...type.getInterfaces().map((parent) => link(type, "&", parent)),
    ...Object.values(type.getFields()).flatMap((field) => [
      element(`${type.name}.${field.name}`, String(field.type), field.description),
      ...field.args.map((arg) => input(`${type.name}.${field.name}(${arg.name}:)`, arg, isRequiredArgument(arg))),
    ]),
  ];
}

function element(coordinate: string, signature: string, description: string | null | undefined): SchemaElement {
  return { coordinate, signature, required: false, description: description ?? "" };
}

function input(coordinate: string, it: GraphQLArgument | GraphQLInputField, required: boolean): SchemaElement {
  const preset = it.defaultValue === undefined ? undefined : astFromValue(it.defaultValue, it.type);
  const signature = preset ? `${String(it.type)} = ${print(preset)}` : String(it.type);
  return { coordinate, signature, required, description: it.description ?? "" };
}

function link(type: GraphQLNamedType, sign: "|" | "&", other: GraphQLNamedType): SchemaElement {
  return { coordinate: `${type.name} ${sign} ${other.name}`, signature: "", required: false, description: undefined };
}

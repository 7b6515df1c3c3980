import {
  type ASTNode,
  type ExecutionArgs,
  GraphQLError,
  type GraphQLInputObjectType,
  type GraphQLInputType,
  type GraphQLNamedInputType,
  getNamedType,
  getOperationAST,
  isEnumType,
  isInputObjectType,
  isInputType,
  isListType,
  isNonNullType,
  isRequiredInputField,
  typeFromAST,
} from "graphql";
import type { Plugin } from "graphql-yoga";
import { quote } from "../../quote.ts";

/**
 * Items of any list of an operation's variables: twice as many as the longest list that is accepted. A list that is a little too
 * long is told what its own limit is; one of a hundred thousand would be read item by item first.
 */
const MAX_ITEMS = 2_000;
/** Characters of an enum's word, of a number, of a UUID and of a date: more than any has. */
const MAX_WORD_LENGTH = 1_000;
const SHORT_SCALARS: ReadonlySet<string> = new Set(["Boolean", "DateTime", "Float", "Int", "SafeInt", "UUID"]);
/** Characters of the request of a subscription, which is kept for as long as the subscription is. */
const MAX_SUBSCRIPTION_LENGTH = 64 * 1024;

/**
 * Looks at an operation's variables before GraphQL reads them, which takes time for each item, and for each unknown or missing
 * field as much as the whole input is long, because it is written out for every message.
 */
export function useInputBounds(): Plugin {
  return {
    onExecute({ args, setResultAndStopExecution }) {
      const error = faultOf(args);
      if (error) setResultAndStopExecution({ errors: [error] });
    },
    onSubscribe({ args, setResultAndStopExecution }) {
      const error = faultOf(args) ?? subscriptionFault(args);
      if (error) setResultAndStopExecution({ errors: [error] });
    },
  };
}

function faultOf({ schema, document, operationName, variableValues }: ExecutionArgs): GraphQLError | undefined {
  for (const definition of getOperationAST(document, operationName)?.variableDefinitions ?? []) {
    const name = definition.variable.name.value;
    const type = typeFromAST(schema, definition.type);
    const fault = isInputType(type) && faultIn(type, variableValues?.[name], name);
    if (fault) return refusal(`Variable "$${quote(name)}" ${fault}`, definition);
  }
  return undefined;
}

/** @param path the place of the value, which begins with the variable's name. */
function faultIn(type: GraphQLInputType, value: unknown, path: string): string | undefined {
  if (isNonNullType(type)) return faultIn(type.ofType, value, path);
  if (typeof value === "string") return faultOfText(getNamedType(type), value, path);
  if (typeof value !== "object" || value === null) return undefined;
  if (isListType(type)) {
    if (!Array.isArray(value)) return faultIn(type.ofType, value, path);
    if (value.length > MAX_ITEMS)
      return `has ${value.length} items at "${path}", of which at most ${MAX_ITEMS} are read. Send less at a time.`;
    const items: readonly unknown[] = value;
    return firstOf(items.entries(), ([index, item]) => faultIn(type.ofType, item, `${path}[${index}]`));
  }
  return isInputObjectType(type) && !Array.isArray(value) ? faultOfFields(type, value, path) : undefined;
}

/** What no text is that is longer than any of them: GraphQL would look for words that are like it, letter by letter. */
function faultOfText(type: GraphQLNamedInputType, text: string, path: string): string | undefined {
  if (text.length <= MAX_WORD_LENGTH || !(isEnumType(type) || SHORT_SCALARS.has(type.name))) return undefined;
  const shown = quote(JSON.stringify(text.slice(0, MAX_WORD_LENGTH)));
  const reason = isEnumType(type)
    ? `Value ${shown} does not exist in "${type.name}" enum.`
    : `This is not a ${type.name}.`;
  return `got invalid value ${shown} at "${path}"; ${reason}`;
}

function faultOfFields(type: GraphQLInputObjectType, value: object, path: string): string | undefined {
  const fields = type.getFields();
  for (const key of Object.keys(value)) {
    if (fields[key] !== undefined) continue;
    const names = Object.keys(fields).join(", ");
    return `has at "${path}" what there is not: Field "${quote(key)}" is not defined by type "${type.name}". Its fields are ${names}.`;
  }
  return firstOf(Object.values(fields), (field) => {
    const given: unknown = Object.hasOwn(value, field.name) ? Reflect.get(value, field.name) : undefined;
    if (given !== undefined) return faultIn(field.type, given, `${path}.${field.name}`);
    if (!isRequiredInputField(field)) return undefined;
    return `lacks at "${path}": Field "${field.name}" of required type "${String(field.type)}" was not provided.`;
  });
}

function firstOf<Item, Result>(items: Iterable<Item>, of: (item: Item) => Result | undefined): Result | undefined {
  for (const item of items) {
    const result = of(item);
    if (result !== undefined) return result;
  }
  return undefined;
}

function subscriptionFault({ contextValue }: ExecutionArgs): GraphQLError | undefined {
  const isFromHttp = typeof contextValue === "object" && contextValue !== null && "params" in contextValue;
  if (!isFromHttp || JSON.stringify(contextValue.params).length <= MAX_SUBSCRIPTION_LENGTH) return undefined;
  return refusal(`The request of a subscription has at most ${MAX_SUBSCRIPTION_LENGTH} characters.`);
}

function refusal(message: string, node: ASTNode | null = null): GraphQLError {
  return new GraphQLError(message, { nodes: node, extensions: { code: "INVALID_INPUT" } });
}

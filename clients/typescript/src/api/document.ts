import { trust } from "./trust.ts";

/**
 * An operation with the types of its data and its variables. It is a GraphQL `DocumentNode` whose text is in `loc.source.body`, as that of
 * graphql-tag is: Apollo Client, urql and others take it as it is, and this package needs no GraphQL library to send it.
 */
export interface TypedDocument<Data, Variables> {
  // `never` fits every type: graphql's own say what these are by enums and classes, which no other package's types can match.
  readonly kind: never;
  readonly definitions: readonly never[];
  readonly loc: never;
  /** Never there: what the compiler knows the types by. */
  readonly __apiType?: (variables: Variables) => Data;
}

/**
 * Makes a document of its text and its definitions; the generated code calls it.
 * @public
 */
export function document<Data, Variables>(
  body: string,
  definitions: readonly unknown[],
): TypedDocument<Data, Variables> {
  const source = { body, name: "ai-job-server", locationOffset: { line: 1, column: 1 } };
  return trust({ kind: "Document", definitions, loc: { start: 0, end: body.length, source } });
}

/** An operation, typed, or as a text, whose data is then what the caller says. */
export type Operation<Data, Variables> = TypedDocument<Data, Variables> | string;

/** @returns the text of an operation, as it is sent. */
export function textOf<Data, Variables>(operation: Operation<Data, Variables>): string {
  if (typeof operation === "string") return operation;
  return trust<{ readonly source: { readonly body: string } }>(operation.loc).source.body;
}

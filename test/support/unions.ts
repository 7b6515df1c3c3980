import { readFileSync } from "node:fs";
import { buildSchema, type GraphQLObjectType, getNamedType, isLeafType, isUnionType } from "graphql";
import { expect } from "vitest";
import { z } from "zod";
import { operation, post } from "./http.ts";

/** The unions of the mutations, as clients read them in `schema.graphql`. */

const schema = buildSchema(readFileSync(new URL("../../schema.graphql", import.meta.url), "utf8"));

/** The names of all unions. */
export function unionNames(): readonly string[] {
  return Object.values(schema.getTypeMap())
    .filter(isUnionType)
    .map(({ name }) => name);
}

/** The names of a union's members. */
export function membersOf(union: string): readonly string[] {
  return typesOf(union).map(({ name }) => name);
}

function typesOf(union: string): readonly GraphQLObjectType[] {
  const type = schema.getType(union);
  if (!isUnionType(type)) throw new Error(`There is no union ${union}.`);
  return type.getTypes();
}

/** A selection of every member's name, all its scalar fields, and the state of its job. */
function selectionOf(union: string): string {
  const members = typesOf(union).map((type) => {
    const fields = Object.values(type.getFields()).flatMap(({ name, type: fieldType }) => {
      const alias = `${type.name}_${name}: ${name}`;
      if (isLeafType(getNamedType(fieldType))) return [alias];
      return name === "job" ? [`${alias} { state }`] : [];
    });
    return `... on ${type.name} { ${fields.join(" ") || "__typename"} }`;
  });
  return `__typename ${members.join(" ")}`;
}

const member = z.looseObject({ __typename: z.string() });
export type Member = Readonly<Record<string, unknown>>;

/** A result of a mutation: the name of its type, and its fields by their names instead of the aliases. */
function toMember(value: unknown): Member {
  const { __typename, ...fields } = member.parse(value);
  const unaliased = Object.entries(fields).map(
    ([alias, field]) => [alias.replace(`${__typename}_`, ""), field] as const,
  );
  return { __typename, ...Object.fromEntries(unaliased) };
}

/** Sends a mutation. @returns the member of its union that the server answers. */
export async function ask(
  url: string,
  mutation: string,
  input: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Member> {
  const union = `${mutation.charAt(0).toUpperCase()}${mutation.slice(1)}Result`;
  return toMember(await answerOf(url, mutation, selectionOf(union), input, headers));
}

const results = z.object({ results: z.array(z.unknown()) });

/** Completes one run. @returns the member of CompleteWorkflowResult for it. */
export function askToComplete(url: string, completion: object): Promise<Member> {
  return askForOne(url, "CompleteWorkflow", { completions: [completion] });
}

/** Fails one run. @returns the member of FailWorkflowResult for it. */
export function askToFail(url: string, failure: object): Promise<Member> {
  return askForOne(url, "FailWorkflow", { failures: [failure] });
}

/** Gives one job back. @returns the member of ReleaseWorkflowResult for it. */
export function askToRelease(url: string, release: object): Promise<Member> {
  return askForOne(url, "ReleaseWorkflow", { releases: [release] });
}

/** Sends a batch of one report. @returns the member of the union of its results. */
async function askForOne(url: string, report: string, input: object): Promise<Member> {
  const selection = `... on ${report}sPayload { results { ${selectionOf(`${report}Result`)} } } ... on Error { message }`;
  const answer = await answerOf(url, `${report.charAt(0).toLowerCase()}${report.slice(1)}s`, selection, input);
  const parsed = results.safeParse(answer);
  if (!parsed.success) throw new Error(`The whole batch was refused: ${JSON.stringify(answer)}`);
  return toMember(parsed.data.results[0]);
}

async function answerOf(
  url: string,
  mutation: string,
  selection: string,
  input: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const type = `${mutation.charAt(0).toUpperCase()}${mutation.slice(1)}Input`;
  const query = `mutation ($input: ${type}!) { ${mutation}(input: $input) { ${selection} } }`;
  const { data, errors } = await post(url, operation(query, { input }), headers);
  if (errors || !data) throw new Error(`The request failed: ${JSON.stringify(errors)}`);
  return data[mutation];
}

/** A member of a union, and how to make the server answer it. */
export interface Answer {
  readonly member: string;
  readonly produce: () => Promise<Member>;
  /** The fields of the member, besides its code and message. */
  readonly says?: object;
}

/** Expects a member. An error must have the code that its type is named after, and a sentence as its message. */
export function expectMember(answer: Member, member: string, says: object): void {
  expect(answer).toMatchObject({ __typename: member, ...says });
  if (!member.endsWith("Error")) return;
  const code = member.replace(/Error$/, "").replace(/(?<=[a-z])[A-Z]/g, "_$&");
  expect(answer.code).toBe(code.toUpperCase());
  expect(answer.message).toMatch(/^.{10,}\.$/s);
}

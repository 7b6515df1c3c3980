import { readFileSync } from "node:fs";
import { buildSchema, type GraphQLObjectType, getNamedType, isLeafType, isUnionType } from "graphql";
import { expect } from "vitest";
import { z } from "zod";
import { operation, post } from "./http.ts";

/** The unions that mutations answer with, as clients read them in `schema.graphql`. */

const schema = buildSchema(readFileSync(new URL("../../schema.graphql", import.meta.url), "utf8"));

/** All unions that there are. */
export function unionNames(): readonly string[] {
  return Object.values(schema.getTypeMap())
    .filter(isUnionType)
    .map(({ name }) => name);
}

/** The members of a union. */
export function membersOf(union: string): readonly string[] {
  return typesOf(union).map(({ name }) => name);
}

function typesOf(union: string): readonly GraphQLObjectType[] {
  const type = schema.getType(union);
  if (!isUnionType(type)) throw new Error(`There is no union ${union}.`);
  return type.getTypes();
}

/** What is asked of every member: its name, all that it says by itself, and in which state it left the job. */
function selectionOf(union: string): string {
  const members = typesOf(union).map((type) => {
    const fields = Object.values(type.getFields()).flatMap(({ name, type: of }) => {
      const alias = `${type.name}_${name}: ${name}`;
      if (isLeafType(getNamedType(of))) return [alias];
      return name === "job" ? [`${alias} { state }`] : [];
    });
    return `... on ${type.name} { ${fields.join(" ") || "__typename"} }`;
  });
  return `__typename ${members.join(" ")}`;
}

const member = z.looseObject({ __typename: z.string() });
export type Member = Readonly<Record<string, unknown>>;

/** One result of a mutation, with the name of the member that it is; its fields without the aliases. */
function toMember(value: unknown): Member {
  const { __typename, ...fields } = member.parse(value);
  const own = Object.entries(fields).map(([alias, field]) => [alias.replace(`${__typename}_`, ""), field] as const);
  return { __typename, ...Object.fromEntries(own) };
}

/** Asks a server to do something: the member of the union that it answers with. */
export async function ask(url: string, mutation: string, input: object): Promise<Member> {
  const union = `${mutation.charAt(0).toUpperCase()}${mutation.slice(1)}Result`;
  return toMember(await answerOf(url, mutation, selectionOf(union), input));
}

const results = z.object({ results: z.array(z.unknown()) });

/** Completes one run: the member of CompleteWorkflowResult that is its own. */
export async function askToComplete(url: string, completion: object): Promise<Member> {
  const selection = `... on CompleteWorkflowsPayload { results { ${selectionOf("CompleteWorkflowResult")} } }`;
  const answer = await answerOf(url, "completeWorkflows", selection, { completions: [completion] });
  return toMember(results.parse(answer).results[0]);
}

async function answerOf(url: string, mutation: string, selection: string, input: object): Promise<unknown> {
  const type = `${mutation.charAt(0).toUpperCase()}${mutation.slice(1)}Input`;
  const query = `mutation ($input: ${type}!) { ${mutation}(input: $input) { ${selection} } }`;
  const { data, errors } = await post(url, operation(query, { input }));
  if (errors || !data) throw new Error(`The request failed: ${JSON.stringify(errors)}`);
  return data[mutation];
}

/** A member of a union, and how a client comes to be answered with it. */
export interface Answer {
  readonly member: string;
  readonly produce: () => Promise<Member>;
  /** What the member says beside its code and its message. */
  readonly says?: object;
}

/** An error says what is wrong in a sentence, and has the code that its type is named after. */
export function expectMember(answer: Member, member: string, says: object): void {
  expect(answer).toMatchObject({ __typename: member, ...says });
  if (!member.endsWith("Error")) return;
  const code = member.replace(/Error$/, "").replace(/(?<=[a-z])[A-Z]/g, "_$&");
  expect(answer.code).toBe(code.toUpperCase());
  expect(answer.message).toMatch(/^.{10,}\.$/s);
}

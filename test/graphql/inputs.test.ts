import { type GraphQLInputField, getNamedType, isInputObjectType } from "graphql";
import { expect, test } from "vitest";
import { z } from "zod";
import { schema } from "../../src/graphql/schema.ts";
import { aSubmit } from "../support/engine.ts";

/** What holds for every input of the API, those of later mutations too. */

const inputs = Object.values(schema.getTypeMap()).filter(isInputObjectType);
const fields = inputs.flatMap((type) =>
  Object.values(type.getFields()).map((field) => ({ name: `${type.name}.${field.name}`, field })),
);

const validated = z.object({ "@pothos/plugin-validation": z.object({ schemas: z.array(z.custom<z.ZodType>()) }) });
const schemasOf = ({ extensions }: GraphQLInputField) =>
  validated.safeParse(extensions).data?.["@pothos/plugin-validation"].schemas ?? [];

/** Compared with what is stored, and never stored. */
const COMPARED_ONLY = /\.leaseToken$/;

const texts = fields.filter(
  ({ field, name }) => getNamedType(field.type).name === "String" && !COMPARED_ONLY.test(name),
);

test("there are inputs with texts and documents", () => {
  expect(texts.length).toBeGreaterThan(20);
});

test.each(texts)("$name has a longest text, and refuses U+0000", ({ field }) => {
  const isList = String(field.type).includes("[");
  const refuses = (text: string) =>
    schemasOf(field).some((each) => each.safeParse(isList ? [text] : text).success === false);
  expect(refuses("x".repeat(4_000_001))).toBe(true);
  expect(refuses("a\0b")).toBe(true);
});

test.each(fields.filter(({ field }) => getNamedType(field.type).name === "JSON"))(
  "$name has a largest document",
  ({ field }) => {
    const refuses = (value: unknown) => schemasOf(field).some((each) => each.safeParse(value).success === false);
    expect(refuses("x".repeat(4_000_001))).toBe(true);
  },
);

test("the input of a submit has what the command takes, and nothing else", () => {
  const { SubmitAiJobInput: type } = schema.getTypeMap();
  expect(isInputObjectType(type) ? Object.keys(type.getFields()).toSorted() : []).toEqual(
    Object.keys(aSubmit()).toSorted(),
  );
});

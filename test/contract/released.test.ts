import { buildSchema } from "graphql";
import { describe, expect, test } from "vitest";
import { ACCEPTED_BREAKS, breaksSince } from "./released.ts";
import { RELEASED_FILE, readSchema, SCHEMA_FILE } from "./schema-text.ts";

test("schema.graphql breaks no client of the last release, except where that is wanted", async () => {
  expect(await breaksSince(readSchema(RELEASED_FILE), readSchema(SCHEMA_FILE), ACCEPTED_BREAKS)).toEqual([]);
});

describe("the check of what breaks clients", () => {
  const released = `
    interface Named { name: String! }
    type Dog implements Named { name: String!, owner: Named! }
    type Cat { name: String! }
    union Pet = Dog | Cat
    enum Size { SMALL LARGE }
    input PetInput { name: String!, size: Size }
    type Query { pet(input: PetInput!, size: Size, colour: String): Pet, dogs: [Dog!]! }
  `;
  const since = (schema: string, accepted?: readonly string[]) =>
    breaksSince(buildSchema(released), buildSchema(schema), accepted);

  test("accepts more of everything", async () => {
    const more = released
      .replace("type Cat { name", "type Cat { lives(left: Int): Int, name")
      .replace("Dog | Cat", "Dog | Cat | Cow")
      .replace("SMALL LARGE", "SMALL LARGE HUGE")
      .replace("size: Size }", "size: Size, age: Int! = 1 }")
      .replace("colour: String", "colour: String, first: Int")
      .concat("type Cow { name: String! }");
    expect(await since(more)).toEqual([]);
  });

  test.each([
    [
      "a field that went",
      "Cat { name: String! }",
      "Cat { n: Int }",
      ["Field 'name' was removed from object type 'Cat'"],
    ],
    [
      "an argument that must be given now",
      "size: Size, colour",
      "size: Size!, colour",
      ["Type for argument 'size' on field 'Query.pet' changed from 'Size' to 'Size!'"],
    ],
    [
      "an input field that must be given now",
      "size: Size }",
      "size: Size! }",
      ["Input field 'PetInput.size' changed type from 'Size' to 'Size!'"],
    ],
    ["an argument that went", ", colour: String", "", ["Argument 'colour: String' was removed from field 'Query.pet'"]],
    [
      "a result that may be null now",
      "[Dog!]!",
      "[Dog!]",
      ["Field 'Query.dogs' changed type from '[Dog!]!' to '[Dog!]'"],
    ],
    [
      "a result of another type",
      "owner: Named!",
      "owner: String!",
      ["Field 'Dog.owner' changed type from 'Named!' to 'String!'"],
    ],
    [
      "a result of a narrower type: fragments on the others are refused",
      "owner: Named!",
      "owner: Dog!",
      ["Field 'Dog.owner' changed type from 'Named!' to 'Dog!'"],
    ],
    ["a union that lost a member", "Dog | Cat", "Dog", ["Member 'Cat' was removed from Union type 'Pet'"]],
    ["an enum that lost a value", "SMALL LARGE", "SMALL", ["Enum value 'LARGE' was removed from enum 'Size'"]],
    [
      "an interface that went",
      "Dog implements Named",
      "Dog",
      ["'Dog' object type no longer implements 'Named' interface"],
    ],
  ])("tells of %s", async (_what, from, to, tells) => {
    expect(released).toContain(from);
    expect(await since(released.replace(from, to))).toEqual(tells);
  });

  test("lets by what is accepted, and tells of what is accepted for nothing", async () => {
    const narrowed = released.replace("Dog | Cat", "Dog");
    const tells = "Member 'Cat' was removed from Union type 'Pet'";
    expect(await since(narrowed, [tells])).toEqual([]);
    expect(await since(released, [tells])).toEqual([`accepted, and not there: ${tells}`]);
  });
});

import { readFileSync } from "node:fs";
import { buildSchema } from "graphql";
import { describe, expect, test } from "vitest";
import { schema } from "../../src/graphql/schema.ts";
import { printSdl } from "../../src/graphql/sdl.ts";
import { contractViolations } from "./contract.ts";
import { elementsOf } from "./schema-elements.ts";
import { CONTRACT_FILE, readSchema, SCHEMA_FILE } from "./schema-text.ts";

describe("schema.graphql", () => {
  test("is what the code says", () => {
    expect(readFileSync(SCHEMA_FILE, "utf8")).toBe(printSdl(schema));
  });

  test("holds everything of the contract", () => {
    expect(contractViolations(readSchema(CONTRACT_FILE), readSchema(SCHEMA_FILE))).toEqual([]);
  });

  test("describes every type, field, argument and enum value", () => {
    const bare = elementsOf(readSchema(SCHEMA_FILE)).filter(({ description }) => description?.trim() === "");
    expect(bare.map(({ coordinate }) => coordinate)).toEqual([]);
  });
});

describe("the contract check", () => {
  const contract = `
    interface Named { name: String! }
    type Dog implements Named { name: String!, bark(times: Int! = 1): Int }
    type Cat { name: String! }
    union Pet = Dog | Cat
    enum Size { SMALL LARGE }
    scalar Moment
    input PetInput { name: String!, size: Size! = SMALL, tags: [String!]! = [] }
    type Query { pet(input: PetInput, id: ID!): Pet }
  `;
  const breachesOf = (served: string) => contractViolations(buildSchema(contract), buildSchema(served));

  test("accepts more of everything that clients need not know", () => {
    const more = contract
      .replace("type Cat { name", "type Cat { lives(left: Int): Int, name")
      .replace("Dog | Cat", "Dog | Cat | Cow")
      .replace("SMALL LARGE", "SMALL LARGE HUGE")
      .replace("tags:", "colour: String, age: Int! = 1, tags:")
      .replace("id: ID!", "id: ID!, first: Int")
      .concat("type Cow { name: String! } input Fresh { needed: Int! }");
    expect(breachesOf(more)).toEqual([]);
  });

  test.each([
    { change: "a missing type", from: "scalar Moment", to: "", tells: ["Moment: missing"] },
    { change: "a missing union member", from: " | Cat", to: "", tells: ["Pet | Cat: missing"] },
    {
      change: "a missing field",
      from: "type Cat { name: String! }",
      to: "type Cat { n: Int }",
      tells: ["Cat.name: missing"],
    },
    { change: "a missing argument", from: ", id: ID!", to: "", tells: ["Query.pet(id:): missing"] },
    { change: "a missing enum value", from: "SMALL LARGE", to: "SMALL", tells: ["Size.LARGE: missing"] },
    { change: "a missing input field", from: "name: String!, size", to: "size", tells: ["PetInput.name: missing"] },
    { change: "a missing interface", from: "Dog implements Named", to: "Dog", tells: ["Dog & Named: missing"] },
    {
      change: "a looser result",
      from: "Cat { name: String!",
      to: "Cat { name: String",
      tells: ["Cat.name: String, where the contract says String!"],
    },
    {
      change: "a stricter result",
      from: ": Int }",
      to: ": Int! }",
      tells: ["Dog.bark: Int!, where the contract says Int"],
    },
    {
      change: "a looser argument",
      from: "id: ID!",
      to: "id: ID",
      tells: ["Query.pet(id:): ID, where the contract says ID!"],
    },
    {
      change: "another default of an argument",
      from: "Int! = 1",
      to: "Int! = 2",
      tells: ["Dog.bark(times:): Int! = 2, where the contract says Int! = 1"],
    },
    {
      change: "another default of an input field",
      from: "= SMALL",
      to: "= LARGE",
      tells: ["PetInput.size: Size! = LARGE, where the contract says Size! = SMALL"],
    },
    {
      change: "a default that went",
      from: " = []",
      to: "",
      tells: ["PetInput.tags: [String!]!, where the contract says [String!]! = []"],
    },
    {
      change: "another kind",
      from: "interface Named { name: String! }\n    type Dog implements Named",
      to: "union Named = Dog\n    type Dog",
      tells: ["Named: union, where the contract says interface", "Named.name: missing", "Dog & Named: missing"],
    },
    {
      change: "a new required argument",
      from: "id: ID!",
      to: "id: ID!, more: Int!",
      tells: ["Query.pet(more:): required, not in the contract"],
    },
    {
      change: "a new required input field",
      from: "tags:",
      to: "more: Int!, tags:",
      tells: ["PetInput.more: required, not in the contract"],
    },
  ])("tells of $change", ({ from, to, tells }) => {
    expect(contract).toContain(from);
    expect(breachesOf(contract.replace(from, to))).toEqual(tells);
  });
});

import SchemaBuilder from "@pothos/core";
import fc from "fast-check";
import { buildSchema, getOperationAST, parse } from "graphql";
import { describe, expect, test } from "vitest";
import { PERMISSION } from "../../src/graphql/permission-plugin.ts";
import { permissionsNeeded } from "../../src/graphql/required-permissions.ts";
import { schema } from "../../src/graphql/schema.ts";
import { ALL_PERMISSIONS, PERMISSIONS, permissionsOf, ROLES } from "../../src/identity/permissions.ts";
import { rootFields } from "../contract/permissions.ts";

/** One list of permissions, which every root field names one of (section 11). */

describe("the schema", () => {
  test("names the permission of every field of Query, Mutation and Subscription, and says it", () => {
    const fields = rootFields(schema);
    expect(fields.length).toBeGreaterThan(30);
    for (const { root, name, permission } of fields) {
      expect(permission, `${root}.${name}`).toBeDefined();
      const description = schema.getType(root)?.toConfig();
      const text = JSON.stringify(description && "fields" in description ? description.fields[name]?.description : "");
      expect(text).toMatch(
        permission === "ANY_PRINCIPAL" ? /Needs no permission but / : RegExp(` Needs ${permission}\\.`),
      );
    }
  });

  test.each(["queryType", "mutationType", "subscriptionType"] as const)(
    "is not built where a field of the %s names none",
    (type) => {
      // @ts-expect-error The plugins that are left out have options of their own.
      const builder = new SchemaBuilder<object>({ plugins: [PERMISSION] });
      builder.queryType({ fields: (t) => ({ fine: t.boolean({ permission: "JOBS_READ", resolve: () => true }) }) });
      if (type === "queryType") builder.queryField("open", (t) => t.boolean({ resolve: () => true }));
      if (type === "mutationType") {
        builder.mutationType({ fields: (t) => ({ open: t.boolean({ resolve: () => true }) }) });
      }
      if (type === "subscriptionType") {
        const subscribe = async function* () {
          yield true;
        };
        builder.subscriptionType({ fields: (t) => ({ open: t.boolean({ subscribe, resolve: () => true }) }) });
      }
      expect(() => builder.toSchema()).toThrow(/\.open names no permission\./);
    },
  );
});

describe("an operation needs the permissions of all its root fields, and of those below that name one", () => {
  const needs = (document: string, operationName?: string) => {
    const parsed = parse(document);
    const operation = getOperationAST(parsed, operationName);
    if (!operation) throw new Error("There is no such operation.");
    return [...permissionsNeeded(schema, parsed, operation)];
  };

  test.each<[string, string[]]>([
    ["{ aiJobs { totalCount } quotas { max } }", ["JOBS_READ"]],
    ['{ __schema { queryType { name } } __typename capabilityProfiles { profileId } node(id: "x") { id } }', []],
    [
      "mutation { a: cancelAiJob(input: {}) { __typename } submitAiJob(input: {}) { __typename } }",
      ["JOBS_OPERATE", "JOBS_SUBMIT"],
    ],
    [
      "mutation { ... on Mutation { ...M } } fragment M on Mutation { ...N } fragment N on Mutation { setQuota(input: {}) { __typename } }",
      ["QUOTAS_MANAGE"],
    ],
    ["query ($no: Boolean = false) { quotas @include(if: $no) { max } }", ["JOBS_READ"]],
    ["subscription { aiJobsChanged { version } }", ["JOBS_READ"]],
    ["{ ...A } fragment A on Query { ...B } fragment B on Query { ...A quotas { max } }", ["JOBS_READ"]],
    [
      "mutation { claimAiJobs(input: {}) { ... on ClaimAiJobsPayload { claims { job { ...J } } } } } fragment J on AiJob { parentJob { children { totalCount } } }",
      ["JOBS_WORK", "JOBS_READ"],
    ],
    ["{ unknown }", []],
  ])("%s", (document, permissions) => {
    expect(needs(document)).toEqual(permissions);
  });

  test("and of no other operation of the document", () => {
    const document = "query Read { quotas { max } } mutation Write { deleteQuota(input: {}) { __typename } }";
    expect(needs(document, "Read")).toEqual(["JOBS_READ"]);
    expect(needs(document, "Write")).toEqual(["QUOTAS_MANAGE"]);
  });

  test("of a schema without permissions it needs none", () => {
    const document = parse("{ a }");
    const operation = getOperationAST(document);
    expect(operation && [...permissionsNeeded(buildSchema("type Query { a: Int }"), document, operation)]).toEqual([]);
  });
});

describe("roles", () => {
  test("together allow what each of them does, and nothing more", () => {
    const names = fc.subarray(Object.keys(ROLES).filter((name): name is keyof typeof ROLES => name in ROLES));
    fc.assert(
      fc.property(names, (roles) => {
        const each = roles.flatMap((role) => [...permissionsOf([role], false)]);
        expect(permissionsOf(roles, false)).toEqual(new Set(each));
      }),
    );
  });

  test("manage workspaces only where they are ADMIN of the whole deployment", () => {
    expect(permissionsOf(["ADMIN"], false).has("WORKSPACES_MANAGE")).toBe(false);
    expect(permissionsOf(["SECURITY", "WORKER"], true).has("WORKSPACES_MANAGE")).toBe(false);
    expect(permissionsOf(["ADMIN"], true).has("WORKSPACES_MANAGE")).toBe(true);
  });

  test("are as the model has them: each permission is of one role at least", () => {
    expect([...ALL_PERMISSIONS].toSorted()).toEqual(Object.keys(PERMISSIONS).toSorted());
    const ofSomeRole = Object.values(ROLES).flatMap(({ permissions }) => permissions);
    expect(Object.keys(PERMISSIONS).filter((name) => !new Set<string>(ofSomeRole).has(name))).toEqual([
      "WORKSPACES_MANAGE",
    ]);
  });
});

import { fileURLToPath } from "node:url";
import type { GraphQLSchema } from "graphql";
import { permissionOf } from "../../src/graphql/required-permissions.ts";
import { permissionsOf, ROLES } from "../../src/identity/permissions.ts";
import { type RootField, rootFieldsOf } from "./sweep/root-fields.ts";

/** What each field answers to whom: `npm run schema:print` writes it, `npm run check` and a test with real requests compare it. */
export const MATRIX_FILE = fileURLToPath(new URL("matrix.md", import.meta.url));

/** What a request can be answered: a column of the matrix has one of these for each field. */
export type Verdict = "yes" | "403" | "403 workspace" | "401";

export type RoleName = keyof typeof ROLES;
export const ROLE_NAMES = Object.keys(ROLES).filter(isRole);

function isRole(name: string): name is RoleName {
  return Object.hasOwn(ROLES, name);
}

/** Who proves it well: with a key or a JWT of a role, in a workspace; or for the whole deployment, having named one. */
export const VALID = ["key", "JWT"] as const;
const OF_DEPLOYMENT = ["ADMIN of all", "operator"] as const;
/** Credentials of each role that prove nothing, or not here. */
export const INVALID = [
  "key, expired",
  "key, revoked",
  "key, rotated past its overlap",
  "key, wrong workspace",
  "JWT, wrong workspace",
  "JWT of another issuer",
  "JWT for another audience",
  "JWT without signature (none)",
  "JWT signed with the public key (HS256)",
  "JWT, expired",
  "JWT, not yet valid",
] as const;
export type ValidCredential = (typeof VALID)[number];
export type InvalidCredential = (typeof INVALID)[number];

/** A table by field, then by column. */
export type Matrix = ReadonlyMap<RootField, readonly string[]>;

/** The columns of the matrix, in their order. Those of an invalid credential say the same for every role. */
const COLUMNS: readonly string[] = [
  "no credential",
  ...VALID.flatMap((credential) => ROLE_NAMES.map((role) => `${role} (${credential})`)),
  ...OF_DEPLOYMENT,
  ...INVALID,
];

/** @returns what the permissions of fields and roles say that it must be. */
export function expectedMatrix(schema: GraphQLSchema): Matrix {
  return new Map(
    rootFieldsOf(schema).map((rootField) => [rootField, expectedFor(permissionNeeded(rootField, schema))]),
  );
}

/** @returns the name of what a field needs. */
export function permissionNeeded({ operation, field }: RootField, schema: GraphQLSchema): string {
  return permissionOf(schema.getRootType(operation)?.getFields()[field.name]) ?? "";
}

function expectedFor(permission: string): readonly Verdict[] {
  const isAllowed = (permissions: ReadonlySet<string>) => permission === "ANY_PRINCIPAL" || permissions.has(permission);
  const verdict = (role: RoleName, isOfDeployment: boolean): Verdict =>
    isAllowed(permissionsOf([role], isOfDeployment)) ? "yes" : "403";
  return [
    "401",
    ...VALID.flatMap(() => ROLE_NAMES.map((role) => verdict(role, false))),
    ...OF_DEPLOYMENT.map(() => verdict("ADMIN", true)),
    ...INVALID.map((credential): Verdict => (credential.endsWith("wrong workspace") ? "403 workspace" : "401")),
  ];
}

/** The matrix as a document. */
export function matrixDocument(matrix: Matrix, schema: GraphQLSchema): string {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rows = [...matrix].map(([rootField, cells]) =>
    row([`${rootField.operation} ${rootField.field.name}`, permissionNeeded(rootField, schema), ...cells]),
  );
  const head = ["field", "needs", ...COLUMNS];
  return `# What each field answers to whom

Written by \`npm run schema:print\` from the permissions of fields and roles: do not change it by hand. A test sends all these requests to a
server, and expects what is written here. A column of an invalid credential stands for one of each role.

- \`yes\`: it is executed.
- \`403\`: FORBIDDEN, which names the permission that the field needs.
- \`403 workspace\`: FORBIDDEN, since the caller is in another workspace than the header x-workspace-id names.
- \`401\`: UNAUTHENTICATED, with a challenge.

${[row(head), row(head.map(() => "---")), ...rows].join("\n")}
`;
}

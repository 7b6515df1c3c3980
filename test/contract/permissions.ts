import { fileURLToPath } from "node:url";
import { type GraphQLObjectType, type GraphQLSchema, OperationTypeNode } from "graphql";
import type { Role } from "../../src/db/generated/client/enums.ts";
import { permissionOf } from "../../src/graphql/required-permissions.ts";
import { PERMISSIONS, type Permission, permissionsOf, ROLES } from "../../src/identity/permissions.ts";

/** The document of who may do what, which `npm run schema:print` writes and `npm run check` compares. */
export const PERMISSIONS_FILE = fileURLToPath(new URL("../../docs/permissions.md", import.meta.url));

/** The fields of Query, Mutation and Subscription, each with what it asks. */
export function rootFields(schema: GraphQLSchema) {
  const roots = Object.values(OperationTypeNode).flatMap((operation): GraphQLObjectType[] => {
    const root = schema.getRootType(operation);
    return root ? [root] : [];
  });
  return roots.flatMap((root) =>
    Object.values(root.getFields()).map((field) => ({
      root: root.name,
      name: field.name,
      permission: permissionOf(field),
    })),
  );
}

export function permissionsDocument(schema: GraphQLSchema): string {
  const roles = Object.keys(ROLES).filter(isRole);
  const permissions = Object.keys(PERMISSIONS).filter(isPermission);
  const allows = (role: Role, permission: Permission) => (permissionsOf([role], false).has(permission) ? "x" : "");
  const fields = rootFields(schema);
  const fieldsThatNeed = (permission: string) =>
    fields
      .filter((field) => field.permission === permission)
      .map(({ name }) => `\`${name}\``)
      .join(", ") || "none yet";
  return `# Who may do what

Written by \`npm run schema:print\` from \`src/identity/permissions.ts\` and the schema: do not change it by hand. What identities are:
[section 11](ai-job-model.md#11-identity).

${table(
  ["permission", "allows", ...roles],
  permissions.map((name) => [name, PERMISSIONS[name], ...roles.map((role) => allows(role, name))]),
)}

WORKSPACES_MANAGE is of the operator, and of ADMIN keys of the whole deployment.

${table(
  ["role", "for"],
  roles.map((role) => [role, ROLES[role].description]),
)}

All fields of an operation's root are checked before anything of it runs: where one permission is missing, the whole request is refused with
\`FORBIDDEN\`, which names it.

${table(
  ["permission", "fields of Query, Mutation and Subscription that need it"],
  permissions.map((name) => [name, fieldsThatNeed(name)]),
)}

Any principal: ${fieldsThatNeed("ANY_PRINCIPAL")}.
`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function isRole(name: string): name is Role {
  return Object.hasOwn(ROLES, name);
}

function isPermission(name: string): name is Permission {
  return Object.hasOwn(PERMISSIONS, name);
}

import type { Role } from "../db/generated/client/enums.ts";

/** What a principal may do (section 11). The one list of permissions: the schema, the roles and the documents follow from it. */

/** Every permission, with what it allows. */
export const PERMISSIONS = {
  JOBS_READ: "Queries and subscriptions of jobs, runs, events, statistics and usage.",
  JOBS_SUBMIT: "Submits jobs.",
  JOBS_OPERATE: "Cancels and retries jobs, also in bulk.",
  JOBS_WORK: "Claims jobs and reports on the runs that it claimed; reads what it holds.",
  REVIEWS_DECIDE: "Decides on outputs that await a verdict or a person.",
  VIOLATIONS_REPORT: "Reports security violations; a worker only of a job whose lease token it sends with the report.",
  HOLDS_DECIDE: "Decides on jobs that a guard holds for a person.",
  EVIDENCE_EXPORT: "Verifies and exports the log.",
  QUOTAS_MANAGE: "Sets and deletes quotas.",
  JOBS_ERASE: "Erases the content of a job that has ended.",
  KEYS_MANAGE: "Makes, rotates and revokes API keys, never with more than its own permissions.",
  WORKSPACES_MANAGE: "Makes and changes workspaces, capability profiles and the settings of guards.",
} as const;

export type Permission = keyof typeof PERMISSIONS;

interface RoleDescription {
  readonly description: string;
  readonly permissions: readonly Permission[];
}

/** Every role, with its permissions. WORKSPACES_MANAGE is of no role alone: see `permissionsOf`. */
export const ROLES = {
  VIEWER: { description: "Watches.", permissions: ["JOBS_READ"] },
  SUBMITTER: {
    description: "Submits jobs, and sees to them.",
    permissions: ["JOBS_READ", "JOBS_SUBMIT", "JOBS_OPERATE"],
  },
  WORKER: { description: "A program that does jobs.", permissions: ["JOBS_WORK", "VIOLATIONS_REPORT"] },
  REVIEWER: {
    description: "Decides on outputs, and on what guards hold.",
    permissions: ["JOBS_READ", "REVIEWS_DECIDE", "HOLDS_DECIDE"],
  },
  SECURITY: {
    description: "Reports violations, decides on what guards hold, exports evidence, erases.",
    permissions: ["JOBS_READ", "VIOLATIONS_REPORT", "HOLDS_DECIDE", "EVIDENCE_EXPORT", "JOBS_ERASE"],
  },
  ADMIN: {
    description: "Everything in its workspace; where its key is of the whole deployment, the workspaces as well.",
    permissions: [
      "JOBS_READ",
      "JOBS_SUBMIT",
      "JOBS_OPERATE",
      "JOBS_WORK",
      "REVIEWS_DECIDE",
      "VIOLATIONS_REPORT",
      "HOLDS_DECIDE",
      "EVIDENCE_EXPORT",
      "QUOTAS_MANAGE",
      "JOBS_ERASE",
      "KEYS_MANAGE",
    ],
  },
} as const satisfies Readonly<Record<Role, RoleDescription>>;

/**
 * @param isOfDeployment whether the principal is one of the whole deployment and not of a workspace.
 * @returns what a principal with these roles may do.
 */
export function permissionsOf(roles: readonly Role[], isOfDeployment: boolean): ReadonlySet<Permission> {
  const permissions = new Set<Permission>(roles.flatMap((role) => ROLES[role].permissions));
  if (isOfDeployment && roles.includes("ADMIN")) permissions.add("WORKSPACES_MANAGE");
  return permissions;
}

/** Whether these roles report security violations only of jobs that they prove to hold: where the role of a worker alone lets them. */
export function reportsOnlyHeld(roles: readonly Role[]): boolean {
  const others = roles.filter((role) => role !== "WORKER");
  return !permissionsOf(others, false).has("VIOLATIONS_REPORT");
}

/** Every permission: what the operator has, and everybody on a server without auth. */
export const ALL_PERMISSIONS: ReadonlySet<Permission> = permissionsOf(["ADMIN"], true);

import type { Permission } from "../api/generated.ts";

/** The views, in their order. The server leads their paths, and those below them, to the page (src/http/console.ts). */

interface View {
  readonly path: string;
  readonly name: string;
  /** What a person must be allowed to do, for the view to be of any use; one of these. */
  readonly needs: readonly Permission[];
}

export const VIEWS: readonly View[] = [
  { path: "/", name: "Jobs", needs: ["JOBS_READ"] },
  { path: "/inbox", name: "Inbox", needs: ["JOBS_READ"] },
  { path: "/workers", name: "Workers", needs: ["JOBS_READ"] },
  { path: "/usage", name: "Usage", needs: ["JOBS_READ"] },
  { path: "/bulk", name: "Bulk actions", needs: ["JOBS_READ"] },
  { path: "/quotas", name: "Quotas", needs: ["JOBS_READ", "QUOTAS_MANAGE"] },
  { path: "/keys", name: "Keys and workspaces", needs: ["KEYS_MANAGE", "WORKSPACES_MANAGE"] },
  { path: "/system", name: "Health", needs: ["JOBS_READ"] },
  { path: "/submit", name: "Submit a job", needs: ["JOBS_SUBMIT"] },
];

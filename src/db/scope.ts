import { AsyncLocalStorage } from "node:async_hooks";
import { isUuid } from "../uuid.ts";

/**
 * The workspaces whose rows the statements of a piece of work may see and write, for row-level security (section 11). It is the
 * last ring: each statement has its own condition on the workspace, and this keeps the rows back where one was forgotten.
 *
 * A statement outside a transaction, or a whole transaction, has one scope, which is sent with it, without a round trip
 * (`pool.ts`, `pglite-adapter.ts`), and ends with it. Work without a scope cannot send a statement.
 */
export type Scope = readonly string[] | AllWorkspaces;

/**
 * What sees every workspace, and why it must. A closed list, each used where test/db/scope.test.ts says:
 * - `feed`: the log is one for all, and each subscriber gets the events of its own workspace.
 * - `claims`: claims of workers of the whole deployment, and of one tick, share a transaction.
 * - `recovery`, `bulk`, `totals`: what maintenance does, for all workspaces in turn.
 * - `deployment`: a principal of the whole deployment reads or changes what belongs to it: keys, workspaces.
 * - `credentials`: who calls is not known before its key is read.
 * - `waits`: jobs of all workspaces wait for their children, or for an answer until a time; and progress for its second.
 * - `reports`: a worker of the whole deployment names its run alone, which tells the workspace; the lease token is checked with it.
 * - `metrics`: how long the queues are, for monitoring.
 * - `server`: what belongs to no workspace: the log's epoch, capability profiles, the health of the database.
 */
export type AllReason =
  | "feed"
  | "claims"
  | "recovery"
  | "waits"
  | "bulk"
  | "totals"
  | "deployment"
  | "credentials"
  | "reports"
  | "metrics"
  | "server";

interface AllWorkspaces {
  readonly all: AllReason;
}

/** The scope of what reads nothing of a workspace. */
export const NO_WORKSPACE: Scope = [];

/** The value of the database's setting `app.workspaces` for all workspaces; for others it is a list of ids as an array. */
export const ALL_WORKSPACES_SETTING = "all";

const current = new AsyncLocalStorage<string>();

/** @returns the scope of all workspaces, for the reason given. */
export function allWorkspaces(reason: AllReason): Scope {
  return { all: reason };
}

/**
 * Runs work whose statements see these workspaces alone. A transaction that the work opens has this scope until it ends,
 * whatever runs inside.
 * @throws Error if an id is not a UUID.
 */
export function within<T>(scope: Scope, work: () => PromiseLike<T>): Promise<T> {
  // Awaited inside: Prisma sends a statement when its promise is first awaited, and not before.
  return current.run(settingOf(scope), async () => await work());
}

/**
 * @returns the setting for the statement that is being sent.
 * @throws Error where the work has no scope: a defect of the server, refused here so that it is found at once.
 */
export function scopeSetting(): string {
  const setting = current.getStore();
  if (setting === undefined)
    throw new Error("A statement was sent without a scope. Run it by `within`, or in `inTransaction`.");
  return setting;
}

function settingOf(scope: Scope): string {
  if ("all" in scope) return ALL_WORKSPACES_SETTING;
  const ids = [...new Set(scope)];
  // It becomes part of a statement's text.
  if (!ids.every(isUuid)) throw new Error("A scope is made of ids of workspaces.");
  return `{${ids.join()}}`;
}

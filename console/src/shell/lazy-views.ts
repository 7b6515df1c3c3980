import { type ComponentType, lazy } from "react";

/** Each view but the first is loaded when it is looked at, or when the page has nothing else to do: the first one is there sooner. */

/** How long after the first view the others begin to come, in milliseconds: what it reads itself goes first. */
const IDLE_MS = 5000;

/**
 * What the browser could not load of the page, whichever part of a view asked for it. Vite says so by an event, for scripts and styles alike.
 */
const failures = new WeakSet<Error>();
window.addEventListener("vite:preloadError", ({ payload }) => failures.add(payload));

/** @returns whether it is that a part of the page could not be loaded, and not a fault in it. */
export function isLoadFailure(error: unknown): boolean {
  return error instanceof Error && failures.has(error);
}

/**
 * Loads something once, whoever asks. A failure is kept: browsers remember the failure of a script, and a second try would take a view whose
 * style is missing. What helps is to load the page anew (view-boundary.tsx).
 */
function once<Module>(load: () => Promise<Module>): () => Promise<Module> {
  let loading: Promise<Module> | undefined;
  return () => {
    loading ??= load();
    // Whoever shows it says what has failed.
    loading.catch(() => undefined);
    return loading;
  };
}

const loads = {
  jobs: once(() => import("../job/job.tsx")),
  inbox: once(() => import("../inbox/inbox.tsx")),
  workers: once(() => import("../workers/workers.tsx")),
  usage: once(() => import("../usage/usage.tsx")),
  quotas: once(() => import("../quotas/quotas.tsx")),
  keys: once(() => import("../keys/keys.tsx")),
  system: once(() => import("../system/system.tsx")),
  bulk: once(() => import("../bulk/bulk.tsx")),
  submit: once(() => import("../submit/submit.tsx")),
};

export const Job = lazy(loads.jobs);
export const Inbox = lazy(loads.inbox);
export const Workers = lazy(loads.workers);
export const Usage = lazy(loads.usage);
export const Quotas = lazy(loads.quotas);
export const Keys = lazy(loads.keys);
export const System = lazy(loads.system);
export const BulkActions = lazy(loads.bulk);
export const Submit = lazy(loads.submit);

/** Begins to load a view, by the first part of its path. */
export function preload(name: string): void {
  const load = Object.entries<() => Promise<{ readonly default: ComponentType<never> }>>(loads).find(
    ([each]) => each === name,
  );
  void load?.[1]();
}

/** Loads the other views one after the other while the page has nothing to do, so that each is there when the server is not. */
export function preloadWhenIdle(): () => void {
  let isStopped = false;
  const timer = setTimeout(() => void loadRest(), IDLE_MS);
  const loadRest = async () => {
    for (const load of Object.values(loads)) {
      await idle();
      if (isStopped) return;
      // The server is away: the rest would fail, too, and stay so.
      const isLoaded = await load().then(
        () => true,
        () => false,
      );
      if (!isLoaded) return;
    }
  };
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}

/** Resolves when the page has nothing to do; not all browsers say when that is. */
function idle(): Promise<void> {
  return new Promise((resolve) => {
    if ("requestIdleCallback" in window) requestIdleCallback(() => resolve(), { timeout: 10_000 });
    else setTimeout(resolve, 200);
  });
}

import { lazy, Suspense } from "react";
import { Route, Switch } from "wouter";
import { BASE_PATH } from "../api/place.ts";
import Jobs from "../jobs/jobs.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { Banner } from "./banner.tsx";
import { Navigation } from "./navigation.tsx";

/** Each view but the first is loaded when it is looked at: the first one is there sooner. */
const VIEWS = {
  jobs: () => import("../job/job.tsx"),
  inbox: () => import("../inbox/inbox.tsx"),
  workers: () => import("../workers/workers.tsx"),
  usage: () => import("../usage/usage.tsx"),
  quotas: () => import("../quotas/quotas.tsx"),
  keys: () => import("../keys/keys.tsx"),
  system: () => import("../system/system.tsx"),
  bulk: () => import("../bulk/bulk.tsx"),
  submit: () => import("../submit/submit.tsx"),
};
const Job = lazy(VIEWS.jobs);
const Inbox = lazy(VIEWS.inbox);
const Workers = lazy(VIEWS.workers);
const Usage = lazy(VIEWS.usage);
const Quotas = lazy(VIEWS.quotas);
const Keys = lazy(VIEWS.keys);
const System = lazy(VIEWS.system);
const BulkActions = lazy(VIEWS.bulk);
const Submit = lazy(VIEWS.submit);

/** Begins to load the view of an address, while the page still asks who uses it. */
export function preload(pathname: string): void {
  const [, name = ""] = pathname.slice(BASE_PATH.length).split("/");
  const view = Object.entries(VIEWS).find(([each]) => each === name);
  void view?.[1]();
}

/** What stands around every view. */
export function Shell() {
  return (
    <div className="shell">
      <a className="skip" href="#main">
        To the content
      </a>
      <Navigation />
      <main id="main" tabIndex={-1}>
        <Banner />
        <Suspense fallback={<Waiting what="The view" />}>
          <Switch>
            <Route path="/">
              <Jobs />
            </Route>
            <Route path="/jobs/:jobId">{({ jobId }) => <Job key={jobId} jobId={jobId} />}</Route>
            <Route path="/inbox">
              <Inbox />
            </Route>
            <Route path="/workers">
              <Workers />
            </Route>
            <Route path="/usage">
              <Usage />
            </Route>
            <Route path="/quotas">
              <Quotas />
            </Route>
            <Route path="/keys">
              <Keys />
            </Route>
            <Route path="/system">
              <System />
            </Route>
            <Route path="/bulk">
              <BulkActions />
            </Route>
            <Route path="/submit">
              <Submit />
            </Route>
            <Route>
              <h1>There is nothing here</h1>
              <p>The address may be mistyped, or of another version of the console.</p>
            </Route>
          </Switch>
        </Suspense>
      </main>
    </div>
  );
}

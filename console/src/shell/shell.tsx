import { lazy, Suspense } from "react";
import { Route, Switch } from "wouter";
import { Waiting } from "../ui/waiting.tsx";
import { Banner } from "./banner.tsx";
import { Navigation } from "./navigation.tsx";

/** Each view is loaded when it is looked at: the first one is there sooner. */
const Jobs = lazy(() => import("../jobs/jobs.tsx"));
const Job = lazy(() => import("../job/job.tsx"));
const Inbox = lazy(() => import("../inbox/inbox.tsx"));
const Workers = lazy(() => import("../workers/workers.tsx"));
const Usage = lazy(() => import("../usage/usage.tsx"));
const Quotas = lazy(() => import("../quotas/quotas.tsx"));
const Keys = lazy(() => import("../keys/keys.tsx"));
const System = lazy(() => import("../system/system.tsx"));
const BulkActions = lazy(() => import("../bulk/bulk.tsx"));
const Submit = lazy(() => import("../submit/submit.tsx"));

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

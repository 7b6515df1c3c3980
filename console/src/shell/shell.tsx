import { Suspense, useEffect } from "react";
import { Route, Switch, useLocation } from "wouter";
import Jobs from "../jobs/jobs.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { Banner } from "./banner.tsx";
import {
  BulkActions,
  Inbox,
  Job,
  Keys,
  preloadWhenIdle,
  Quotas,
  Submit,
  System,
  Usage,
  Workers,
} from "./lazy-views.ts";
import { Navigation } from "./navigation.tsx";
import { ViewBoundary } from "./view-boundary.tsx";

/** What stands around every view. */
export function Shell() {
  const [location] = useLocation();
  useEffect(preloadWhenIdle, []);
  return (
    <div className="shell">
      <a className="skip" href="#main">
        To the content
      </a>
      <Navigation />
      <main id="main" tabIndex={-1}>
        <Banner />
        <ViewBoundary key={location}>
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
        </ViewBoundary>
      </main>
    </div>
  );
}

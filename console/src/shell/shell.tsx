import { Suspense, useEffect } from "react";
import { Redirect, Route, Switch, useLocation } from "wouter";
import { isId } from "../jobs/filter.ts";
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
import { NotAJobId, NothingHere } from "./nothing-here.tsx";
import { ViewBoundary } from "./view-boundary.tsx";

/** What stands around every view. */
export function Shell() {
  const [location] = useLocation();
  useEffect(preloadWhenIdle, []);
  return (
    <div className="shell">
      {/* By a script: the page has a base address, to which a link to a part of it would lead. */}
      <a
        className="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
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
              <Route path="/jobs/:jobId">
                {({ jobId }) => (isId(jobId) ? <Job key={jobId} jobId={jobId} /> : <NotAJobId text={jobId} />)}
              </Route>
              <Route path="/jobs">
                <Redirect to="/" replace />
              </Route>
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
                <NothingHere />
              </Route>
            </Switch>
          </Suspense>
        </ViewBoundary>
      </main>
    </div>
  );
}

// The page of react.browser.test.ts: a list of jobs, and what one of them puts out, live.
import { createClient } from "@ai-job-server/sdk/client";
import { JobClientProvider, useJob, useJobOutput, useJobs } from "@ai-job-server/sdk/react";
import { createElement, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

const client = createClient({ url: "/graphql" });
const labels = [{ key: "page", value: "react" }];

function Page() {
  const { jobs, error } = useJobs({ labels });
  const [picked, setPicked] = useState(null);
  const items = jobs.map(({ jobId, state }) =>
    createElement("li", { key: jobId }, createElement("button", { onClick: () => setPicked(jobId) }, state)),
  );
  return createElement(
    "main",
    null,
    error ? createElement("p", { id: "error" }, String(error)) : null,
    createElement("ul", null, items),
    picked ? createElement(Picked, { jobId: picked }) : null,
  );
}

function Picked({ jobId }) {
  const { job } = useJob(jobId);
  const { text, isLast } = useJobOutput(jobId);
  const shown = `${job?.state} ${job?.progress?.message ?? ""}: ${text}${isLast ? "." : "…"}`;
  return createElement("p", { id: "picked" }, shown);
}

createRoot(document.body).render(
  createElement(StrictMode, null, createElement(JobClientProvider, { client }, createElement(Page))),
);

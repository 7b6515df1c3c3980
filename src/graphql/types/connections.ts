import type { AiJob as Job } from "../../db/generated/client/client.ts";
import { builder } from "../builder.ts";
import type { Page } from "../connection.ts";
import { AiJob } from "./ai-job.ts";
import { FlightRecorderEvent } from "./flight-recorder-event.ts";
import { WorkflowRun } from "./workflow-run.ts";

/** The connections (Relay): one type of page and one of edge for each type of row, whichever field lists it. */

/** A page of jobs, with what its two further fields are read from. */
export interface JobPage extends Page<Job> {
  /** Counts the jobs of all pages. Called only if the operation selects it. */
  readonly totalCount: () => Promise<number>;
  /**
   * The log position from before the page was read; undefined unless the operation asks for it. Read after the page, it
   * could lie beyond a change that the page lacks, and a subscription that starts there would miss that change.
   */
  readonly feedCursor: string | undefined;
}

export const AiJobConnection = builder.connectionObject<typeof AiJob, JobPage>(
  {
    type: AiJob,
    name: "AiJobConnection",
    description: "A page of jobs.",
    fields: (t) => ({
      totalCount: t.field({
        type: "SafeInt",
        description: "The number of jobs that match, over all pages; counted only if it is selected.",
        resolve: ({ totalCount }) => totalCount(),
      }),
      feedCursor: t.field({
        type: "Cursor",
        description:
          "The position in the event log from which a subscription continues this list without a gap: pass it as " +
          "`after` to aiJobsChanged (section 10).",
        resolve: ({ feedCursor }) => feedCursor ?? "",
      }),
    }),
  },
  { name: "AiJobEdge", description: "A job and its position in the list." },
);

export const WorkflowRunConnection = builder.connectionObject(
  { type: WorkflowRun, name: "WorkflowRunConnection", description: "A page of runs." },
  { name: "WorkflowRunEdge", description: "A run and its position in the list." },
);

export const FlightRecorderEventConnection = builder.connectionObject(
  { type: FlightRecorderEvent, name: "FlightRecorderEventConnection", description: "A page of events." },
  { name: "FlightRecorderEventEdge", description: "An event and its position in the list." },
);

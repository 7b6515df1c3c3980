import { graphql } from "../../test/generated/gql.ts";

/** The operations of the worker, beyond those that it shares with the summarising worker (examples/worker/operations.ts). */

export const SubmitResearch = graphql(`
  mutation ResearchSubmit($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      __typename
      ... on SubmitAiJobPayload {
        job {
          jobId
        }
      }
      ... on Error {
        code
        message
      }
    }
  }
`);

/** What is due; a job that waits for its children, or for a time, is not. */
export const DueJobs = graphql(`
  query ResearchDueJobs($session: String!) {
    aiJobs(last: 20, filter: { states: [QUEUED], labels: [{ key: "research", value: $session }] }) {
      nodes {
        jobId
        waitsFor
      }
    }
  }
`);

export const StartResearch = graphql(`
  mutation ResearchStart($input: StartWorkflowInput!) {
    startWorkflow(input: $input) {
      __typename
      ... on StartWorkflowPayload {
        claim {
          leaseToken
          workflowRun {
            workflowRunId
          }
          job {
            jobId
            protocolId
            jobInputs
          }
          completedNodes {
            nodeId
            output
          }
          userAnswers {
            answer
          }
          children {
            endedAt
            jobOutputs
          }
        }
      }
      ... on Error {
        message
      }
    }
  }
`);

export const AppendOutput = graphql(`
  mutation ResearchAppendOutput($input: AppendOutputInput!) {
    appendOutput(input: $input) {
      __typename
      ... on AppendOutputPayload {
        nextSequence
      }
      ... on Error {
        message
        stop: directive
      }
    }
  }
`);

export const RequestUserInput = graphql(`
  mutation ResearchAsk($input: RequestUserInputInput!) {
    requestUserInput(input: $input) {
      __typename
      ... on Error {
        message
        stop: directive
      }
    }
  }
`);

export const WorkerDirectives = graphql(`
  subscription ResearchDirectives($workerId: String!, $after: Cursor) {
    told: workerDirectives(workerId: $workerId, after: $after) {
      workflowRunId
      directive
      cursor
    }
  }
`);

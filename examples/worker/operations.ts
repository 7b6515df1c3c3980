import { graphql } from "../../test/generated/gql.ts";

/** The operations of a worker. Each report selects the directive, or the error instead of it. */

export const QueuedJobs = graphql(`
  query WorkerQueuedJobs($protocolId: String!) {
    aiJobs(last: 20, filter: { states: [QUEUED], protocolId: $protocolId }) {
      nodes {
        jobId
        runAfter
      }
    }
  }
`);

export const StartWorkflow = graphql(`
  mutation WorkerStart($input: StartWorkflowInput!) {
    startWorkflow(input: $input) {
      __typename
      ... on StartWorkflowPayload {
        claim {
          leaseToken
          workflowRun {
            workflowRunId
          }
          job {
            jobKind
            jobInputs
          }
          completedNodes {
            nodeId
            output
          }
        }
      }
      ... on Error {
        message
      }
    }
  }
`);

export const AdvanceWorkflow = graphql(`
  mutation WorkerAdvance($input: AdvanceWorkflowInput!) {
    advanceWorkflow(input: $input) {
      __typename
      ... on AdvanceWorkflowPayload {
        directive
      }
      ... on Error {
        message
        stop: directive
      }
    }
  }
`);

export const Heartbeat = graphql(`
  mutation WorkerHeartbeat($input: HeartbeatWorkflowsInput!) {
    heartbeatWorkflows(input: $input) {
      __typename
      ... on HeartbeatWorkflowsPayload {
        results {
          directive
          error {
            message
          }
        }
      }
      ... on Error {
        message
      }
    }
  }
`);

export const CompleteWorkflows = graphql(`
  mutation WorkerComplete($input: CompleteWorkflowsInput!) {
    completeWorkflows(input: $input) {
      __typename
      ... on CompleteWorkflowsPayload {
        results {
          __typename
          ... on Error {
            message
            stop: directive
          }
        }
      }
      ... on Error {
        message
      }
    }
  }
`);

export const ReleaseWorkflows = graphql(`
  mutation WorkerRelease($input: ReleaseWorkflowsInput!) {
    releaseWorkflows(input: $input) {
      __typename
      ... on ReleaseWorkflowsPayload {
        results {
          __typename
          ... on Error {
            message
          }
        }
      }
      ... on Error {
        message
      }
    }
  }
`);

export const FailWorkflows = graphql(`
  mutation WorkerFail($input: FailWorkflowsInput!) {
    failWorkflows(input: $input) {
      __typename
      ... on FailWorkflowsPayload {
        results {
          __typename
          ... on Error {
            message
          }
        }
      }
      ... on Error {
        message
      }
    }
  }
`);

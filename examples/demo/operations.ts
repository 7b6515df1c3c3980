import { graphql } from "../../test/generated/gql.ts";

/** The operations of the demo: those of a client that submits jobs, and of a frontend that watches them. */

export const SubmitJob = graphql(`
  mutation DemoSubmit($input: SubmitAiJobInput!) {
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

export const FeedCursor = graphql(`
  query DemoFeedCursor {
    aiJobs(first: 1) {
      feedCursor
    }
  }
`);

export const JobChanges = graphql(`
  subscription DemoChanges($protocolId: String!, $after: Cursor!) {
    aiJobsChanged(filter: { protocolId: $protocolId }, after: $after) {
      version
      state
      metrics {
        totalTokens
      }
      job {
        jobId
        jobKind
        entityRefs {
          entityId
        }
      }
      event {
        type
        actorId
        payload
        recordedAt
      }
    }
  }
`);

export const Outcomes = graphql(`
  query DemoOutcomes($protocolId: String!, $after: String) {
    aiJobs(first: 100, after: $after, filter: { protocolId: $protocolId }) {
      nodes {
        jobId
        state
        statusReason
        errorMessage
        version
        capabilityProfileId
        jobOutputs
        metrics {
          totalTokens
          validatorsRunCount
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);

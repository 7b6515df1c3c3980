import { graphql } from "../../test/generated/gql.ts";

/** The operations of those who watch the research: the page, and the check at the end. */

export const PartialOutput = graphql(`
  subscription ResearchOutput($jobId: UUID!, $after: Cursor) {
    told: aiJobOutput(jobId: $jobId, after: $after) {
      attempt
      text
      cursor
    }
  }
`);

/** For the page: every job of the research with what it has used, as it changes. */
export const ResearchTree = graphql(`
  subscription ResearchTree($jobId: UUID!) {
    told: aiJobsChanged(filter: { rootJobId: $jobId }) {
      job {
        jobId
        protocolId
        state
        statusReason
        waitsFor
        jobInputs
        userInputRequest {
          question
        }
        modelUsage {
          model
          calls
          inputTokens
          cachedInputTokens
          outputTokens
          reasoningTokens
          costMicros
        }
      }
    }
  }
`);

/** The whole record, by which the example checks itself. */
export const ResearchRecord = graphql(`
  query ResearchRecord($jobId: UUID!) {
    aiJobs(first: 10, filter: { rootJobId: $jobId }, orderBy: { field: CREATED_AT, direction: ASC }) {
      nodes {
        jobId
        state
        statusReason
        errorMessage
        jobInputs
        costMicros
        modelUsage {
          provider
          model
          calls
          inputTokens
          cachedInputTokens
          outputTokens
          reasoningTokens
          costMicros
        }
        workflowRuns(first: 10) {
          nodes {
            endReason
            steps {
              nodeId
              nodeType
            }
          }
        }
      }
    }
  }
`);

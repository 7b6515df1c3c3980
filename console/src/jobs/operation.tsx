import { AiJobs } from "@ai-job-server/sdk/client";
import { addressOf } from "../api/place.ts";
import { OperationLink } from "../ui/operation-link.tsx";
import { type JobsQuery, orderOf } from "./filter.ts";

/** The list in GraphiQL. */
export function Operation({ query: { filter, order } }: { readonly query: JobsQuery }) {
  return (
    <OperationLink
      operation={AiJobs}
      variables={{ first: 100, filter, orderBy: orderOf(order) }}
      at={addressOf("graphql")}
    />
  );
}

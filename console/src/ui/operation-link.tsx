import { type TypedDocument, textOf } from "@ai-job-server/sdk/client";
import { addressOf } from "../api/place.ts";

export interface OperationLinkProps<Variables> {
  readonly operation: TypedDocument<unknown, Variables>;
  readonly variables: Variables;
}

/** Leads to GraphiQL with the operation behind what is shown: whoever builds something can begin with it. */
export function OperationLink<Variables>({ operation, variables }: OperationLinkProps<Variables>) {
  const address = new URL(addressOf("graphql"));
  address.searchParams.set("query", textOf(operation));
  address.searchParams.set("variables", JSON.stringify(variables));
  return (
    <a className="button button-plain" href={address.href} target="_blank" rel="noopener">
      GraphiQL ↗
    </a>
  );
}

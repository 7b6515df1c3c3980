import { type CallOptions, JobClient, type Operation, UnansweredError } from "@ai-job-server/sdk/client";
import { doubtConnection, setConnected } from "./connection.ts";
import { addressOf } from "./place.ts";

/** Where the chosen workspace is kept, as long as the browser's tab is there. */
const WORKSPACE_KEY = "ai-job-server.workspace";

export function chosenWorkspace(): string | null {
  return sessionStorage.getItem(WORKSPACE_KEY);
}

export function keepWorkspace(workspaceId: string | null): void {
  if (workspaceId === null) sessionStorage.removeItem(WORKSPACE_KEY);
  else sessionStorage.setItem(WORKSPACE_KEY, workspaceId);
}

/** The kit's client. Whatever the server leaves unanswered tells the page that it may be away. */
class ConsoleClient extends JobClient {
  override async request<Data, Variables>(
    operation: Operation<Data, Variables>,
    variables: Variables,
    options?: CallOptions,
  ): Promise<Data> {
    try {
      return await super.request(operation, variables, options);
    } catch (error) {
      if (error instanceof UnansweredError) doubtConnection();
      throw error;
    }
  }
}

/** @returns the kit's client, in a workspace; as whom it asks, a cookie says. */
export function clientIn(workspaceId: string | null): JobClient {
  const url = addressOf("graphql");
  return new ConsoleClient({ url, onConnection: setConnected, ...(workspaceId === null ? {} : { workspaceId }) });
}

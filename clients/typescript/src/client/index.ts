/** The client: createClient, and a typed document for each operation that it uses, for Apollo Client, urql and others, too. */
export { document, type Operation, type TypedDocument, textOf } from "../api/document.ts";
export {
  type ErrorCode,
  type InputIssue,
  JobServerError,
  type RefusalDetails,
  UnansweredError,
} from "../api/errors.ts";
export * from "../api/generated.ts";
export type { Connection } from "../api/request.ts";
export { successOf } from "../api/result.ts";
export { hasEnded } from "../api/states.ts";
export {
  type CallOptions,
  type Change,
  type Chunk,
  type ClientOptions,
  createClient,
  type Job,
  JobClient,
  type JobPage,
  type WatchOptions,
  type WholeJob,
} from "./client.ts";

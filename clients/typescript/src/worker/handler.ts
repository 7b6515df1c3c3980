import type { EntityRefInput } from "../api/generated.ts";
import type { RunContext } from "./context.ts";
import type { ClaimedJob } from "./job.ts";
import type { StandardSchema } from "./standard-schema.ts";

/** What a handler returns; nothing, for a job without outputs. */
export interface HandlerResult<Outputs = unknown> {
  readonly outputs: Outputs;
  /** What was not quite right: the job is then completed with issues. */
  readonly issues?: readonly string[];
  /** What it has written outside the server; needs the access mode APPLY_SCOPED. */
  readonly writtenEntities?: readonly EntityRefInput[];
  /** Whether somebody has to approve the outputs. */
  readonly needsValidation?: boolean;
}

/** Does a job. It is called from its beginning in each run of the job. */
export type Handler<Inputs = unknown, Outputs = unknown> = (
  job: ClaimedJob<Inputs>,
  context: RunContext,
) => Promise<HandlerResult<Outputs> | void>;

/** The schemas of a kind's jobs. A job whose inputs do not fit fails for good, as does one whose outputs do not. */
export interface HandlerSchemas<Inputs = unknown, Outputs = unknown> {
  readonly inputs?: StandardSchema<Inputs>;
  readonly outputs?: StandardSchema<Outputs>;
}

export interface RegisteredHandler extends HandlerSchemas {
  readonly handler: Handler;
}

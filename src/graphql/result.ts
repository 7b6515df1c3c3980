import { AppError } from "../errors.ts";

/**
 * A command's success as it is.
 * @throws its failure, whichever of the errors that its result type names: the field's union has a member for each.
 */
export function orThrow<Result>(result: Result): Exclude<Result, AppError>;
export function orThrow(result: unknown): unknown {
  if (result instanceof AppError) throw result;
  return result;
}

/** Tells a payload from the other members of its union: it alone has this field, and it is no error. */
export function isPayloadWith(field: string): (value: unknown) => boolean {
  return (value) => typeof value === "object" && value !== null && !(value instanceof Error) && field in value;
}

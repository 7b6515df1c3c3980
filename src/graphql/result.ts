import { AppError } from "../errors.ts";

/** A command's failure as the error that the field's union has a member for; its success as it is. */
export function orThrow<T>(result: T | AppError): T {
  if (result instanceof AppError) throw result;
  return result;
}

/** Tells a payload from the other members of its union: it alone has this field, and it is no error. */
export function isPayloadWith(field: string): (value: unknown) => boolean {
  return (value) => typeof value === "object" && value !== null && !(value instanceof Error) && field in value;
}

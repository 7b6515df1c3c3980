import { AppError } from "../errors.ts";

/** A command's failure as the error that the field's union has a member for; its success as it is. */
export function orThrow<T>(result: T | AppError): T {
  if (result instanceof AppError) throw result;
  return result;
}

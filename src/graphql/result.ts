import { AppError, type TryAgainError } from "../errors.ts";

/**
 * A command's success as it is.
 * @throws AppError what the command answered instead: the error that the field's union has a member for.
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

/** The errors that a command's result type names. Whatever else it resolves to is no error. */
export type ErrorsOf<Command extends (...args: never[]) => unknown> = Extract<Awaited<ReturnType<Command>>, AppError>;

type ErrorClass<Errors extends AppError> = abstract new (...args: never[]) => Errors;

/** What `Classes` leaves out of `Errors`, as an argument that nobody can pass; `Classes` itself where it is complete. */
type Complete<Errors extends AppError, Classes extends readonly ErrorClass<Errors>[]> = [
  Exclude<Errors, InstanceType<Classes[number]>>,
] extends [never]
  ? Classes
  : [{ readonly missingFromTheUnion: Exclude<Errors, InstanceType<Classes[number]>> }];

/**
 * The error members of a mutation's union. The compiler holds the list to `Errors`: it refuses a class that is missing, so
 * that no error of a command is answered as a masked failure; and one that is superfluous, so that the schema promises
 * no answer that is never given.
 *
 * `TryAgainError` is required in any case: every mutation has a transaction, which throws it.
 * @typeParam Errors what the command answers: `ErrorsOf<typeof command>`.
 * @typeParam Before what is answered before the command is called: `InvalidInputError` where the input is validated.
 * @returns a function that takes the classes of these errors, and returns them.
 */
export function errorTypes<Errors extends AppError, Before extends AppError = never>() {
  type All = Errors | Before | TryAgainError;
  return <Classes extends readonly ErrorClass<All>[]>(...classes: Classes & Complete<All, Classes>) => classes;
}

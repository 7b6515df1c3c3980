import { AppError, type TryAgainError } from "../errors.ts";

/**
 * Throws a command's error, which Pothos answers as a member of the field's union.
 * @returns the command's result where it is no error.
 * @throws AppError the error that the command returned.
 */
export function orThrow<Result>(result: Result): Exclude<Result, AppError>;
export function orThrow(result: unknown): unknown {
  if (result instanceof AppError) throw result;
  return result;
}

/**
 * Makes an `isTypeOf` for a payload.
 * @param field a field that no other member of the payload's union has.
 * @returns whether a value is the payload: it has the field and is no error.
 */
export function isPayloadWith(field: string): (value: unknown) => boolean {
  return (value) => typeof value === "object" && value !== null && !(value instanceof Error) && field in value;
}

/** The errors that a command can return, taken from its result type. */
export type ErrorsOf<Command extends (...args: never[]) => unknown> = Extract<Awaited<ReturnType<Command>>, AppError>;

type ErrorClass<Errors extends AppError> = abstract new (...args: never[]) => Errors;

/**
 * `Classes` if it has a class for each of `Errors`; otherwise an argument type that no call can satisfy, and that names
 * the missing errors in the compiler's message.
 */
type Complete<Errors extends AppError, Classes extends readonly ErrorClass<Errors>[]> = [
  Exclude<Errors, InstanceType<Classes[number]>>,
] extends [never]
  ? Classes
  : [{ readonly missingFromTheUnion: Exclude<Errors, InstanceType<Classes[number]>> }];

/**
 * The error members of a mutation's union, checked by the compiler against the command. A missing class does not
 * compile: its error would reach the client as a masked failure. Nor does a superfluous class: the schema would promise
 * an answer that is never given.
 *
 * `TryAgainError` is always required: every mutation runs a transaction, which can throw it.
 * @typeParam Errors the errors that the command returns: `ErrorsOf<typeof command>`.
 * @typeParam Before the errors raised before the command is called: `InvalidInputError` where the input is validated.
 * @returns a function that takes the classes of these errors and returns them as a tuple.
 */
export function errorTypes<Errors extends AppError, Before extends AppError = never>() {
  type All = Errors | Before | TryAgainError;
  return <Classes extends readonly ErrorClass<All>[]>(...classes: Classes & Complete<All, Classes>) => classes;
}

import { describe, expect, expectTypeOf, test } from "vitest";
import {
  AppError,
  BudgetExceededError,
  IllegalTransitionError,
  InvalidInputError,
  JobPoisonedError,
  NotFoundError,
  TryAgainError,
} from "../../src/errors.ts";
import { type ErrorsOf, errorTypes, orThrow } from "../../src/graphql/result.ts";

/** The unions of the mutations name what their commands can answer: held by the compiler, so `tsc` runs these, too. */

interface Job {
  readonly jobId: string;
}

declare const command: (jobId: string) => Promise<Job | NotFoundError | IllegalTransitionError>;
type Errors = ErrorsOf<typeof command>;

describe("the errors of a command", () => {
  test("are those that its result type names", () => {
    expectTypeOf<Errors>().toEqualTypeOf<NotFoundError | IllegalTransitionError>();
    expectTypeOf<ErrorsOf<() => Promise<Job>>>().toBeNever();
    expectTypeOf<ErrorsOf<() => Job | AppError>>().toEqualTypeOf<AppError>();
  });

  test("are all that orThrow takes from its result", () => {
    expectTypeOf(orThrow<Awaited<ReturnType<typeof command>>>).returns.toEqualTypeOf<Job>();
    expect(orThrow({ jobId: "1" })).toEqual({ jobId: "1" });
    expect(() => orThrow(new NotFoundError("job"))).toThrow(NotFoundError);
  });
});

describe("the error members of a union", () => {
  test("are the command's errors and TryAgainError, in any order", () => {
    expect(errorTypes<Errors>()(IllegalTransitionError, TryAgainError, NotFoundError)).toEqual([
      IllegalTransitionError,
      TryAgainError,
      NotFoundError,
    ]);
    expect(errorTypes()(TryAgainError)).toEqual([TryAgainError]);
  });

  test("include InvalidInputError where the input is validated", () => {
    const classes = [NotFoundError, IllegalTransitionError, InvalidInputError, TryAgainError] as const;
    expect(errorTypes<Errors | InvalidInputError>()(...classes)).toEqual(classes);
    // @ts-expect-error InvalidInputError is superfluous where nothing validates.
    errorTypes<Errors>()(...classes);
  });

  test("do not compile where one is missing", () => {
    // @ts-expect-error IllegalTransitionError is missing.
    errorTypes<Errors>()(NotFoundError, TryAgainError);
    // @ts-expect-error TryAgainError is missing.
    errorTypes<Errors>()(NotFoundError, IllegalTransitionError);
    // @ts-expect-error TryAgainError is missing.
    errorTypes()();
  });

  test("do not compile where one is superfluous", () => {
    // @ts-expect-error JobPoisonedError is superfluous.
    errorTypes<Errors>()(NotFoundError, IllegalTransitionError, TryAgainError, JobPoisonedError);
    // @ts-expect-error BudgetExceededError is superfluous.
    errorTypes()(TryAgainError, BudgetExceededError);
  });

  test("do not compile where a command does not name its errors", () => {
    // @ts-expect-error The list can never hold all that is an AppError.
    errorTypes<AppError>()(NotFoundError, TryAgainError);
    // @ts-expect-error AppError itself is abstract: it is nobody's answer.
    errorTypes<Errors>()(AppError, TryAgainError);
  });
});

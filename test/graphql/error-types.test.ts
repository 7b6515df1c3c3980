import { readdirSync, readFileSync } from "node:fs";
import {
  type GraphQLInputField,
  type GraphQLInputObjectType,
  type GraphQLInputType,
  getNamedType,
  isInputObjectType,
} from "graphql";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
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
import { schema } from "../../src/graphql/schema.ts";
import { membersOf } from "../support/unions.ts";

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
    expect(errorTypes<never>()(TryAgainError)).toEqual([TryAgainError]);
  });

  test("include InvalidInputError where the input is validated", () => {
    const classes = [NotFoundError, IllegalTransitionError, InvalidInputError, TryAgainError] as const;
    expect(errorTypes<Errors, InvalidInputError>()(...classes)).toEqual(classes);
    // @ts-expect-error InvalidInputError is superfluous where nothing validates.
    errorTypes<Errors>()(...classes);
  });

  test("do not compile where one is missing", () => {
    // @ts-expect-error IllegalTransitionError is missing.
    errorTypes<Errors>()(NotFoundError, TryAgainError);
    // @ts-expect-error TryAgainError is missing.
    errorTypes<Errors>()(NotFoundError, IllegalTransitionError);
    // @ts-expect-error TryAgainError is missing.
    errorTypes<never>()();
  });

  test("do not compile where one is superfluous", () => {
    // @ts-expect-error JobPoisonedError is superfluous.
    errorTypes<Errors>()(NotFoundError, IllegalTransitionError, TryAgainError, JobPoisonedError);
    // @ts-expect-error BudgetExceededError is superfluous.
    errorTypes<never>()(TryAgainError, BudgetExceededError);
  });

  test("do not compile where a command does not name its errors", () => {
    // @ts-expect-error The list can never hold all that is an AppError.
    errorTypes<AppError>()(NotFoundError, TryAgainError);
    // @ts-expect-error AppError itself says nothing: it is nobody's answer.
    errorTypes<Errors>()(AppError, TryAgainError);
  });
});

const MUTATIONS = new URL("../../src/graphql/mutations/", import.meta.url);

describe("every mutation", () => {
  test.each(readdirSync(MUTATIONS))("of %s has its union's errors from errorTypes alone", (file) => {
    const source = readFileSync(new URL(file, MUTATIONS), "utf8");
    const unions = source.match(/\.errorUnion(?:List)?Field\(/g) ?? [];
    // After the payloads, which stand first, there is nothing else.
    expect(
      source.match(/types: \[(?:\s*\w+,)+\s*(?:\/\/.*\s*)?\.\.\.errorTypes<[^()]*>\(\)\([^()]*\),?\s*\],/g) ?? [],
    ).toHaveLength(unions.length);
  });

  const validated = Object.values(schema.getMutationType()?.getFields() ?? {}).filter(({ args }) => {
    const types = args.flatMap(({ type }) => inputTypes(type));
    return [...args, ...types, ...types.flatMap(fieldsOf)].some(isValidated);
  });

  test.each(validated)("$name, which validates its input, can answer InvalidInputError", ({ type }) => {
    expect(membersOf(getNamedType(type).name)).toContain("InvalidInputError");
  });
});

const built = z.object({ pothosOptions: z.looseObject({}) });

/** Whether an input object, an argument or a field was built with `validate`. */
function isValidated({ extensions }: Pick<GraphQLInputField, "extensions">): boolean {
  const { data } = built.safeParse(extensions);
  return data !== undefined && "validate" in data.pothosOptions;
}

/** The input objects of an argument, with those that are in it. */
function inputTypes(
  type: GraphQLInputType,
  seen = new Set<GraphQLInputObjectType>(),
): readonly GraphQLInputObjectType[] {
  const named = getNamedType(type);
  if (!isInputObjectType(named) || seen.has(named)) return [];
  seen.add(named);
  return [named, ...fieldsOf(named).flatMap((field) => inputTypes(field.type, seen))];
}

function fieldsOf(type: GraphQLInputObjectType): readonly GraphQLInputField[] {
  return Object.values(type.getFields());
}

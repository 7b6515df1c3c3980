import { JobServerError } from "./errors.ts";
import type { RefusalFragment } from "./generated.ts";
import { trust } from "./trust.ts";

type Result = { readonly __typename: string };

/** The members of a mutation's result that are no errors. */
type Success<R extends Result> = Exclude<R, { readonly __typename: `${string}Error` }>;

/**
 * @returns a mutation's result that is no error.
 * @throws JobServerError for one that is.
 */
export function successOf<R extends Result>(result: R): Success<R> {
  if (isRefusal(result)) throw errorOf(result);
  return trust<Success<R>>(result);
}

export function isRefusal(result: object): result is RefusalFragment {
  return "code" in result && "message" in result;
}

/** The error that a refusal is. */
export function errorOf({ code, message, stop, ...more }: RefusalFragment): JobServerError {
  return new JobServerError(code, message, {
    directive: stop,
    ...("path" in more ? { path: more.path, issues: more.issues } : {}),
    ...("freesAt" in more ? { freesAt: more.freesAt === null ? null : new Date(more.freesAt) } : {}),
  });
}

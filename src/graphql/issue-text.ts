import { z } from "zod";

/** The nouns of what is counted, by the kind of value that has a size. */
const COUNTED: Readonly<Record<string, string>> = { string: "character", array: "item", set: "item", file: "byte" };

/**
 * The words of a validation issue, for people who fill in a form. The validator's own ("expected string to have >=1 characters")
 * are for programmers. A schema that brings words of its own keeps them.
 * @returns undefined for issues that this has no words for: the validator's are used.
 */
function issueText(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === "too_small") return `must ${sizeText(issue.origin, "at least", Number(issue.minimum))}`;
  if (issue.code === "too_big") return `must ${sizeText(issue.origin, "at most", Number(issue.maximum))}`;
  return undefined;
}

function sizeText(origin: string, bound: string, limit: number): string {
  const noun = COUNTED[origin];
  const number = limit.toLocaleString("en");
  return noun === undefined ? `be ${bound} ${number}` : `have ${bound} ${number} ${noun}${limit === 1 ? "" : "s"}`;
}

z.config({ customError: issueText });

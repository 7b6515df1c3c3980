import { z } from "zod";
import type { JsonValue } from "../db/rows.ts";
import { jsonTextOf } from "../json-document.ts";
import { type Level, levelOf } from "../json-walk.ts";

/**
 * Schemas for every text and JSON value from outside (section 3): no U+0000, no lone surrogate, no number beyond 2^53 - 1, and
 * limits of size and depth. PostgreSQL cannot store the first two, and JavaScript clients would round such a number.
 */

const NOT_TEXT = "must not contain U+0000 or a lone surrogate";

function isText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** @returns a schema for a text of `min` to `max` UTF-16 code units. */
export function boundedText(max: number, min = 1) {
  return z.string().min(min).max(max).refine(isText, NOT_TEXT);
}

/** Whether PostgreSQL can read this time in JavaScript's ISO format: in the years 1 to 9999. */
export function isStorableDate(date: Date): boolean {
  const year = date.getUTCFullYear();
  return year >= 1 && year <= 9999;
}

/**
 * The most levels of lists and objects in a JSON value. Set once, when a server starts (MAX_JSON_DEPTH): the schemas below are made
 * when this file is loaded. How many values a JSON value has is bounded with its request, before it is parsed (MAX_JSON_VALUES).
 */
export const JSON_LIMIT = { maxDepth: 100 };

/**
 * @returns a schema for a JSON value of at most `maxBytes` bytes of UTF-8, or null. GraphQL's JSON scalar has already checked
 *   that the value is JSON; the schema checks that the database and other programs can store and read it.
 */
export function boundedJson(maxBytes: number) {
  return z
    .custom<JsonValue>(() => true)
    .superRefine((value, context) => {
      const fault = faultOf(value) ?? sizeFault(value, maxBytes);
      if (fault) context.addIssue({ code: "custom", message: fault.message, path: [...fault.path] });
    });
}

interface Fault {
  readonly message: string;
  readonly path: readonly (string | number)[];
}

function sizeFault(value: unknown, maxBytes: number): Fault | undefined {
  const bytes = Buffer.byteLength(jsonTextOf(value ?? null));
  return bytes > maxBytes
    ? { message: `is ${bytes} bytes of JSON; at most ${maxBytes} bytes are allowed`, path: [] }
    : undefined;
}

/**
 * Finds the first fault in a JSON value. It walks with a list of levels instead of recursion, because a deeply nested value could
 * overflow the call stack before its depth is refused.
 */
function faultOf(root: unknown): Fault | undefined {
  let level = levelOf(root, 1);
  const message = faultOfValue(root, level);
  if (message) return { message, path: [] };
  while (level) {
    if (level.nextIndex >= level.size) {
      level = level.parent;
      continue;
    }
    const value: unknown = level.valueAt(level.nextIndex++);
    const inner: Level<number> | undefined = levelOf(value, level.context + 1, level);
    const fault = faultOfValue(value, inner);
    if (fault) return { message: fault, path: pathTo(level) };
    level = inner ?? level;
  }
  return undefined;
}

/**
 * @param inner the level of the value, if it is a list or an object.
 * @returns what is wrong with a single value, without the values inside it; undefined where nothing is.
 */
function faultOfValue(value: unknown, inner: Level<number> | undefined): string | undefined {
  if (typeof value === "string" && !isText(value)) return NOT_TEXT;
  if (typeof value === "number" && !(Math.abs(value) <= Number.MAX_SAFE_INTEGER)) {
    return "has a number beyond 2^53 - 1, which other readers would round; send it as a string";
  }
  if (inner === undefined) return undefined;
  if (inner.context > JSON_LIMIT.maxDepth) return `is nested deeper than ${JSON_LIMIT.maxDepth} levels`;
  return inner.keys?.every(isText) === false ? `has a key that ${NOT_TEXT}` : undefined;
}

/** @returns the path from the root to the value that was visited last in the innermost level. */
function pathTo(innermost: Level<number>): readonly (string | number)[] {
  const path: (string | number)[] = [];
  for (let level: Level<number> | undefined = innermost; level; level = level.parent) {
    const index = level.nextIndex - 1;
    path.unshift(level.keys?.[index] ?? index);
  }
  return path;
}

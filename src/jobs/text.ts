import { z } from "zod";
import type { JsonValue } from "../storage/columns.ts";

/**
 * The shapes that every text and every JSON value from outside must have (section 3): no U+0000, no lone surrogate,
 * no number beyond 2^53 - 1; within a size, and not nested without end.
 */

const NOT_TEXT = "must not contain U+0000 or a lone surrogate";

function isText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** A text of at most `most` UTF-16 units, with at least one unless `least` is 0. */
export function text(most: number, least = 1) {
  return z.string().min(least).max(most).refine(isText, NOT_TEXT);
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A UUID as the database writes it; undefined for anything else. */
export function asUuid(value: unknown): string | undefined {
  return typeof value === "string" && UUID.test(value) ? value.toLowerCase() : undefined;
}

/** The id itself where PostgreSQL takes it for a UUID, else one that no row has. */
export function uuidOrNone(id: string): string {
  return asUuid(id) ?? "00000000-0000-0000-0000-000000000000";
}

/** Whether the database can hold this moment as JavaScript writes it. */
export function isMoment(date: Date): boolean {
  const year = date.getUTCFullYear();
  return year >= 1 && year <= 9999;
}

const DEEPEST = 100;

/**
 * A JSON value of at most `mostBytes` bytes of UTF-8, or null.
 * GraphQL's JSON scalar has made sure that it is one; this is about what the database and other readers can hold.
 */
export function json(mostBytes: number) {
  return z
    .custom<JsonValue>(() => true)
    .superRefine((value, context) => {
      const fault = faultOf(value) ?? sizeFault(value, mostBytes);
      if (fault) context.addIssue({ code: "custom", message: fault.message, path: [...fault.path] });
    });
}

interface Fault {
  readonly message: string;
  readonly path: readonly (string | number)[];
}

function sizeFault(value: unknown, most: number): Fault | undefined {
  const bytes = Buffer.byteLength(JSON.stringify(value ?? null));
  return bytes > most ? { message: `is ${bytes} bytes of JSON; at most ${most} are kept`, path: [] } : undefined;
}

/** Where a value stands: a chain of keys upwards, made into a path only for the one that is at fault. */
interface Place {
  readonly value: unknown;
  readonly key: string | number;
  readonly up: Place | null;
  readonly depth: number;
}

/** Without recursion: a hostile value may be nested deeper than the stack. */
function faultOf(root: unknown): Fault | undefined {
  const open: Place[] = [{ value: root, key: "", up: null, depth: 0 }];
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    const { value, depth } = place;
    const message = faultOfOne(value, depth);
    if (message) return { message, path: pathTo(place) };
    if (typeof value !== "object" || value === null) continue;
    for (const [key, child] of Object.entries(value)) {
      open.push({ value: child, key: Array.isArray(value) ? Number(key) : key, up: place, depth: depth + 1 });
    }
  }
  return undefined;
}

function faultOfOne(value: unknown, depth: number): string | undefined {
  if (typeof value === "string" && !isText(value)) return NOT_TEXT;
  if (typeof value === "number" && !(Math.abs(value) <= Number.MAX_SAFE_INTEGER)) {
    return "has a number beyond 2^53 - 1, which other readers would round; send it as a string";
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === DEEPEST) return `is nested deeper than ${DEEPEST} levels`;
  return Object.keys(value).every(isText) ? undefined : `has a key that ${NOT_TEXT}`;
}

function pathTo(place: Place): readonly (string | number)[] {
  const path: (string | number)[] = [];
  for (let at = place; at.up !== null; at = at.up) path.unshift(at.key);
  return path;
}

import { InvalidArgumentError } from "commander";
import { z } from "zod";
import { type JobKind, Role } from "../db/generated/client/enums.ts";
import { InvalidJobKindError } from "../errors.ts";
import { MAX_OVERLAP_SECONDS } from "../identity/keys.ts";
import { boundedText } from "../jobs/input-text.ts";
import { parseJobKind } from "../jobs/kind.ts";
import { asUuid } from "../uuid.ts";

/** Parsers of arguments and options. @throws InvalidArgumentError: the command is used wrongly, and nothing is sent. */

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

export function parseId(text: string): string {
  const id = asUuid(text);
  if (id === undefined) throw new InvalidArgumentError("An id is a UUID.");
  return id;
}

export function parseName(text: string): string {
  if (!boundedText(200).safeParse(text).success) throw new InvalidArgumentError("A name has 1 to 200 characters.");
  return text;
}

export function parseUrl(text: string): string {
  if (!z.url({ protocol: /^https?$/ }).safeParse(text).success)
    throw new InvalidArgumentError("The address of an API is like http://127.0.0.1:4000/graphql.");
  return text;
}

/** One role or several, separated by commas; the option may be repeated. */
export function parseRoles(text: string, before: readonly Role[] = []): readonly Role[] {
  return unique([...before, ...text.split(",").map(parseRole)]);
}

function parseRole(text: string): Role {
  const { success, data } = z.enum(Role).safeParse(text.trim().toUpperCase());
  if (!success) throw new InvalidArgumentError(`Roles are ${Object.values(Role).join(", ")}.`);
  return data;
}

/** One kind or several, separated by commas; the option may be repeated. */
export function parseKinds(text: string, before: readonly JobKind[] = []): readonly JobKind[] {
  return unique([...before, ...text.split(",").map(parseKind)]);
}

function parseKind(text: string): JobKind {
  try {
    return parseJobKind(text.trim().toLowerCase());
  } catch (error) {
    throw error instanceof InvalidJobKindError ? new InvalidArgumentError(error.message) : error;
  }
}

/** A time in RFC 3339, or how long from now, such as `30d`. */
export function parseExpiry(text: string): Date {
  const seconds = secondsOf(text);
  if (seconds !== undefined) return new Date(Date.now() + seconds * 1000);
  if (!z.iso.datetime({ offset: true }).safeParse(text).success)
    throw new InvalidArgumentError("Give a time such as 2027-01-31T12:00:00Z, or how long from now: 90m, 12h, 30d.");
  return new Date(text);
}

/** @returns seconds. */
export function parseOverlap(text: string): number {
  const seconds = secondsOf(text);
  if (seconds === undefined || seconds > MAX_OVERLAP_SECONDS)
    throw new InvalidArgumentError("Give how long, at most a week: 30s, 90m, 12h, 7d.");
  return seconds;
}

/** @returns the seconds of a duration such as `12h`, of at most six digits; undefined for any other text. */
function secondsOf(text: string): number | undefined {
  const [, count, s, m, h] = /^(\d{1,6})(?:(s)|(m)|(h)|d)$/.exec(text) ?? [];
  if (count === undefined) return undefined;
  return Number(count) * (s ? SECONDS.s : m ? SECONDS.m : h ? SECONDS.h : SECONDS.d);
}

function unique<Value>(values: readonly Value[]): readonly Value[] {
  return [...new Set(values)];
}

import { InvalidArgumentError } from "commander";
import { z } from "zod";
import { type JobKind, JobState, Role } from "../db/generated/client/enums.ts";
import { InvalidJobKindError } from "../errors.ts";
import { MAX_OVERLAP_SECONDS } from "../identity/api-key.ts";
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

export function parseKind(text: string): JobKind {
  try {
    return parseJobKind(text.trim().toLowerCase());
  } catch (error) {
    throw error instanceof InvalidJobKindError ? new InvalidArgumentError(error.message) : error;
  }
}

/** One state or several, separated by commas; the option may be repeated. */
export function parseStates(text: string, before: readonly JobState[] = []): readonly JobState[] {
  return unique([...before, ...text.split(",").map(parseState)]);
}

function parseState(text: string): JobState {
  const { success, data } = z.enum(JobState).safeParse(text.trim().toUpperCase());
  if (!success) throw new InvalidArgumentError(`States are ${Object.values(JobState).join(", ")}.`);
  return data;
}

/** A label, such as `team=legal`; the option may be repeated. */
export function parseLabels(text: string, before: readonly Label[] = []): readonly Label[] {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("A label is like team=legal.");
  return [...before, { key: text.slice(0, at), value: text.slice(at + 1) }];
}

export interface Label {
  readonly key: string;
  readonly value: string;
}

const GROUPS = ["KIND", "STATE", "MODEL", "LABEL", "PROTOCOL"] as const;
type Group = (typeof GROUPS)[number];

/** What rows of usage are kept apart by: one or several, separated by commas; the option may be repeated. */
export function parseGroups(text: string, before: readonly Group[] = []): readonly Group[] {
  return unique([...before, ...text.split(",").map((word) => oneOf(GROUPS, word))]);
}

export function parseInterval(text: string): "DAY" | "HOUR" {
  return oneOf(["DAY", "HOUR"] as const, text);
}

function oneOf<Word extends string>(words: readonly Word[], text: string): Word {
  const word = words.find((each) => each === text.trim().toUpperCase());
  if (word === undefined) throw new InvalidArgumentError(`Give one of ${words.join(", ")}.`);
  return word;
}

/** A time in RFC 3339, or a day. */
export function parseTime(text: string): Date {
  if (z.iso.date().safeParse(text).success) return new Date(`${text}T00:00:00Z`);
  if (!z.iso.datetime({ offset: true }).safeParse(text).success)
    throw new InvalidArgumentError("Give a day such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z.");
  return new Date(text);
}

export function parseInteger(text: string): number {
  const value = Number(text);
  if (!/^-?\d{1,15}$/.test(text)) throw new InvalidArgumentError("Give a whole number.");
  return value;
}

export function parseCount(text: string): number {
  const value = parseInteger(text);
  if (value < 1) throw new InvalidArgumentError("Give a whole number of 1 or more.");
  return value;
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

import type { AiJobFilter, AiJobOrder, JobKind, JobState } from "@ai-job-server/sdk/client";
import { KINDS } from "../ui/kind.ts";
import { STATES } from "../ui/states.ts";

/** What a list of jobs shows, as it stands in the address: a view can be sent to somebody, and is there again after a reload. */

const ORDERS = {
  newest: { field: "CREATED_AT", direction: "DESC" },
  oldest: { field: "CREATED_AT", direction: "ASC" },
  changed: { field: "UPDATED_AT", direction: "DESC" },
  costliest: { field: "COST", direction: "DESC" },
} as const satisfies Record<string, AiJobOrder>;

export type OrderName = keyof typeof ORDERS;
export const ORDER_NAMES = ["newest", "oldest", "changed", "costliest"] as const satisfies readonly OrderName[];

export interface JobsQuery {
  readonly filter: AiJobFilter;
  readonly order: OrderName;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The conditions that are one text in the address, by their names there. */
const TEXTS = { protocol: "protocolId", by: "submittedBy", worker: "workerId", key: "idempotencyKey" } as const;
const IDS = { trace: "traceId", parent: "parentJobId", root: "rootJobId" } as const;
const TIMES = { from: "createdAfter", until: "createdBefore" } as const;

/** The periods that are a click away. In the address they are names, so that it is of today whenever it is opened. */
export const PERIOD_NAMES = ["any", "hour", "today", "yesterday", "week"] as const;
export type PeriodName = (typeof PERIOD_NAMES)[number];

/**
 * @returns what an address asks for; what it has that is no condition is left out.
 * @param now from when on a period such as the last hour is counted back.
 */
export function readQuery(params: URLSearchParams, now = new Date()): JobsQuery {
  const states = params.getAll("state").filter(isState);
  const kinds = params.getAll("kind").filter(isKind);
  const labels = params.getAll("label").flatMap((text) => labelIn(text) ?? []);
  const order = ORDER_NAMES.find((name) => name === params.get("order")) ?? "newest";
  return {
    filter: {
      ...(states.length > 0 ? { states } : {}),
      ...(kinds.length > 0 ? { kinds } : {}),
      ...(labels.length > 0 ? { labels } : {}),
      ...conditions(params, TEXTS, (text) => text !== ""),
      ...conditions(params, IDS, (text) => UUID.test(text)),
      ...timesIn(params, now),
    },
    order,
  };
}

/** @returns the period of an address; null where it has times of its own, which take precedence. */
export function periodIn(params: URLSearchParams): PeriodName | null {
  if (Object.keys(fixedTimesIn(params)).length > 0) return null;
  return PERIOD_NAMES.find((name) => name === params.get("period")) ?? "any";
}

function fixedTimesIn(params: URLSearchParams) {
  return conditions(params, TIMES, (text) => !Number.isNaN(Date.parse(text)));
}

function timesIn(params: URLSearchParams, now: Date): Pick<AiJobFilter, "createdAfter" | "createdBefore"> {
  const period = periodIn(params);
  return period === null ? fixedTimesIn(params) : boundsOf(period, now);
}

/**
 * @returns a period's bounds. Days are those of the person's zone, and hours are counted from whole minutes, so that who asks twice asks for the
 *   same. All have an end, without which the server cannot say what cost most.
 */
function boundsOf(period: PeriodName, now: Date): Pick<AiJobFilter, "createdAfter" | "createdBefore"> {
  const midnight = (days: number) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days);
  const hoursAgo = (hours: number) => new Date((Math.floor(now.getTime() / MINUTE_MS) - hours * 60) * MINUTE_MS);
  const between = (from: Date, until: Date) => ({
    createdAfter: from.toISOString(),
    createdBefore: until.toISOString(),
  });
  switch (period) {
    case "any":
      return {};
    // Later than any job of a page that stays open over midnight.
    case "hour":
      return between(hoursAgo(1), midnight(2));
    case "today":
      return between(midnight(0), midnight(1));
    case "yesterday":
      return between(midnight(-1), midnight(0));
    case "week":
      return between(hoursAgo(7 * 24), midnight(2));
  }
}

const MINUTE_MS = 60_000;

/** @returns an order as the API has it. */
function orderOf(name: OrderName): AiJobOrder {
  return ORDERS[name];
}

/** How many jobs are read at once. */
const PAGE = 100;

/** @returns what a page of the list is asked for by. */
export function listVariables({ filter, order }: JobsQuery) {
  return { first: PAGE, filter, orderBy: orderOf(order) };
}

/** @returns a text that is the same for the same list. */
export function queryKeyOf({ filter, order }: JobsQuery): string {
  return JSON.stringify([filter, order]);
}

/**
 * @returns what somebody has typed as a condition: `key=value` is a label, an id a trace, and anything else a protocol. Whether it is the id
 *   or the key of a job has to be asked before.
 */
export function searchFor(term: string): readonly [name: string, value: string] {
  if (UUID.test(term)) return ["trace", term];
  if (labelIn(term)) return ["label", term];
  return ["protocol", term];
}

/** The conditions of the address that a search makes: the next search takes their place. */
export const SEARCHED = ["trace", "label", "protocol"] as const;

/** @returns the end of an id, as the rows of the list have it; null for what does not look like one. */
export function endOfId(term: string): string | null {
  return /^…?([0-9a-f]{8})$/i.exec(term)?.[1]?.toLowerCase() ?? null;
}

export function isId(term: string): boolean {
  return UUID.test(term);
}

/** @returns the label in `key=value`. */
export function labelIn(text: string): { readonly key: string; readonly value: string } | null {
  const at = text.indexOf("=");
  return at < 1 ? null : { key: text.slice(0, at), value: text.slice(at + 1) };
}

function conditions<Names extends Readonly<Record<string, keyof AiJobFilter>>>(
  params: URLSearchParams,
  names: Names,
  isGood: (text: string) => boolean,
): Readonly<Record<string, string>> {
  const found = Object.entries(names).flatMap(([name, field]) => {
    const text = params.get(name);
    return text !== null && isGood(text) ? [[field, text] as const] : [];
  });
  return Object.fromEntries(found);
}

function isState(text: string): text is JobState {
  return STATES.some((state) => state === text);
}

function isKind(text: string): text is JobKind {
  return KINDS.some((kind) => kind === text);
}

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

/** @returns what an address asks for; what it has that is no condition is left out. */
export function readQuery(params: URLSearchParams): JobsQuery {
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
      ...conditions(params, TIMES, (text) => !Number.isNaN(Date.parse(text))),
    },
    order,
  };
}

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

import { AiJobByIdempotencyKey } from "@ai-job-server/sdk/client";
import { type SyntheticEvent, useState } from "react";
import { useLocation, useSearchParams } from "wouter";
import { useClient } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Choice, TextInput } from "../ui/fields.tsx";
import { KINDS, kindWord } from "../ui/kind.ts";
import { STATES, stateWord } from "../ui/states.ts";
import { isId, type JobsQuery, ORDER_NAMES, type OrderName, searchFor } from "./filter.ts";

const ORDER_WORDS = {
  newest: "Newest first",
  oldest: "Oldest first",
  changed: "Last changed first",
  costliest: "Costliest first",
} as const satisfies Record<OrderName, string>;

const DAY_MS = 86_400_000;
/** The periods that are a click away. */
const PERIODS = {
  any: "Any time",
  hour: "Last hour",
  today: "Today",
  yesterday: "Yesterday",
  week: "Last 7 days",
} as const;
type Period = keyof typeof PERIODS | "other";

/** What the list is of, all of it in the address. */
export function FilterBar({ query: { filter, order } }: { readonly query: JobsQuery }) {
  const client = useClient();
  const [, navigate] = useLocation();
  const [params, setParams] = useSearchParams();
  const [term, setTerm] = useState("");
  const set = (changes: Readonly<Record<string, string | null>>) =>
    setParams((before) => {
      for (const [name, value] of Object.entries(changes)) {
        if (value === null) before.delete(name);
        else before.set(name, value);
      }
      return before;
    });
  /** @returns the job whose id, or whose idempotency key, it is. */
  const find = async (wanted: string) => {
    if (isId(wanted)) return (await client.job(wanted).catch(() => null))?.jobId;
    const answer = await client.request(AiJobByIdempotencyKey, { idempotencyKey: wanted }).catch(() => null);
    return answer?.aiJobByIdempotencyKey?.jobId;
  };
  const search = async () => {
    const wanted = term.trim();
    if (wanted === "") return;
    const jobId = await find(wanted);
    setTerm("");
    if (jobId !== undefined) return navigate(`/jobs/${jobId}`);
    const [name, value] = searchFor(wanted);
    set({ [name]: value });
  };
  const onSearch = (event: SyntheticEvent) => {
    event.preventDefault();
    void search();
  };
  const period: Period =
    Object.keys(PERIODS).find((name): name is keyof typeof PERIODS => name === params.get("period")) ??
    (filter.createdAfter || filter.createdBefore ? "other" : "any");
  const choosePeriod = (name: Period) => {
    if (name === "other") return;
    const { from, until } = boundsOf(name, new Date());
    // Without a period the server cannot say what cost most.
    const isOrderLost = name === "any" && order === "costliest";
    set({ period: name === "any" ? null : name, from, until, ...(isOrderLost ? { order: null } : {}) });
  };
  // The costliest of all time would be a look at every job; the server asks for a period.
  const chooseOrder = (name: OrderName) => {
    const isUnbounded = name === "costliest" && !(filter.createdAfter && filter.createdBefore);
    const bounds = isUnbounded ? boundsOf("week", new Date()) : {};
    set({ order: name, ...bounds, ...(isUnbounded ? { period: "week" } : {}) });
  };
  const conditions = [...params].filter(([name]) => !["order", "period", "from", "until"].includes(name));
  const remove = (gone: readonly [string, string]) =>
    setParams((before) => {
      before.delete(gone[0], gone[1]);
      return before;
    });
  return (
    <div className="filters">
      <form onSubmit={onSearch} className="search" role="search">
        <TextInput
          label="Search"
          placeholder="id, trace, idempotency key, label=value, or protocol"
          value={term}
          onChange={setTerm}
        />
        <Button type="submit">Search</Button>
      </form>
      <Choice
        label="Kind"
        options={[{ value: "any", text: "Any kind" }, ...KINDS.map((kind) => ({ value: kind, text: kindWord(kind) }))]}
        value={filter.kinds?.[0] ?? "any"}
        onChange={(kind) => set({ kind: kind === "any" ? null : kind })}
      />
      <Choice
        label="Submitted"
        options={[
          ...Object.entries(PERIODS).map(([value, text]) => ({ value: periodNamed(value), text })),
          ...(period === "other" ? [{ value: "other" as const, text: "As in the address" }] : []),
        ]}
        value={period}
        onChange={choosePeriod}
      />
      <Choice
        label="Order"
        options={ORDER_NAMES.map((value) => ({ value, text: ORDER_WORDS[value] }))}
        value={order}
        onChange={chooseOrder}
      />
      {conditions.length > 0 && (
        <ul className="conditions" aria-label="Conditions">
          {conditions.map(([name, value]) => (
            <li key={`${name} ${value}`}>
              <bdi>{conditionText(name, value)}</bdi>
              <Button
                look="plain"
                aria-label={`Without ${conditionText(name, value)}`}
                onPress={() => remove([name, value])}
              >
                ✕
              </Button>
            </li>
          ))}
          <li>
            <Button look="plain" onPress={() => navigate("/")}>
              Clear all
            </Button>
          </li>
        </ul>
      )}
    </div>
  );
}

/** @returns a condition of the address, as people say it. */
function conditionText(name: string, value: string): string {
  const state = STATES.find((each) => each === value);
  if (name === "state" && state) return `State: ${stateWord(state)}`;
  const kind = KINDS.find((each) => each === value);
  if (name === "kind" && kind) return `Kind: ${kindWord(kind)}`;
  return `${name}: ${value}`;
}

function periodNamed(text: string): Period {
  return Object.keys(PERIODS).find((name): name is keyof typeof PERIODS => name === text) ?? "other";
}

/** @returns a period's bounds: days are those of the person's zone. */
function boundsOf(
  period: keyof typeof PERIODS,
  now: Date,
): { readonly from: string | null; readonly until: string | null } {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  const until = new Date(now.getTime() + DAY_MS);
  switch (period) {
    case "any":
      return { from: null, until: null };
    case "hour":
      return { from: new Date(now.getTime() - 3_600_000).toISOString(), until: until.toISOString() };
    case "today":
      return { from: midnight.toISOString(), until: until.toISOString() };
    case "yesterday": {
      const before = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
      return { from: before.toISOString(), until: midnight.toISOString() };
    }
    case "week":
      return { from: new Date(now.getTime() - 7 * DAY_MS).toISOString(), until: until.toISOString() };
  }
}

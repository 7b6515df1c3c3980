import { AiJobByIdempotencyKey, type AiJobFilter, type Job } from "@ai-job-server/sdk/client";
import { type SyntheticEvent, useState } from "react";
import { useLocation, useSearchParams } from "wouter";
import { useClient } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Choice, TextInput } from "../ui/fields.tsx";
import { KINDS, kindWord } from "../ui/kind.ts";
import { STATES, stateWord } from "../ui/states.ts";
import { exact } from "../ui/time.tsx";
import {
  endOfId,
  isId,
  type JobsQuery,
  ORDER_NAMES,
  type OrderName,
  PERIOD_NAMES,
  type PeriodName,
  periodIn,
  SEARCHED,
  searchFor,
} from "./filter.ts";

const ORDER_WORDS = {
  newest: "Newest first",
  oldest: "Oldest first",
  changed: "Last changed first",
  costliest: "Costliest first",
} as const satisfies Record<OrderName, string>;

const PERIOD_WORDS = {
  any: "Any time",
  hour: "Last hour",
  today: "Today",
  yesterday: "Yesterday",
  week: "Last 7 days",
} as const satisfies Record<PeriodName, string>;

/** The choice that stands for an address with times of its own. */
const FIXED = "fixed";

/** The conditions of an address, as people call them. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ["state", "State"],
  ["kind", "Kind"],
  ["label", "Label"],
  ["protocol", "Protocol"],
  ["trace", "Trace"],
  ["parent", "Parent"],
  ["root", "Root"],
  ["worker", "Worker"],
  ["key", "Idempotency key"],
  ["by", "Submitted by"],
]);

export interface FilterBarProps {
  readonly query: JobsQuery;
  /** The jobs that the list has. */
  readonly jobs: readonly Job[];
}

/** What the list is of, all of it in the address. */
export function FilterBar({ query: { filter, order }, jobs }: FilterBarProps) {
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
  /** @returns the job whose id, or whose idempotency key, it is; by the end of its id, that of the list. */
  const find = async (wanted: string) => {
    const end = endOfId(wanted);
    const [listed] = end === null ? [] : jobs.filter(({ jobId }) => jobId.endsWith(end));
    if (listed) return listed.jobId;
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
    set({ ...Object.fromEntries(SEARCHED.map((each) => [each, null])), [name]: value });
  };
  const onSearch = (event: SyntheticEvent) => {
    event.preventDefault();
    void search();
  };
  const period = periodIn(params);
  // Without a period the server cannot say what cost most: it would be a look at every job.
  const choosePeriod = (name: PeriodName | typeof FIXED) => {
    if (name === FIXED) return;
    const isOrderLost = name === "any" && order === "costliest";
    set({
      period: name === "any" ? null : name,
      from: null,
      until: null,
      ...(isOrderLost ? { order: null } : {}),
    });
  };
  const chooseOrder = (name: OrderName) => {
    const isUnbounded = name === "costliest" && !(filter.createdAfter && filter.createdBefore);
    set({
      order: name === "newest" ? null : name,
      ...(isUnbounded ? { period: "week", from: null, until: null } : {}),
    });
  };
  const chips: readonly Chip[] = [
    ...[...params].flatMap(([name, value]) => {
      const text = conditionText(name, value);
      const remove = () =>
        setParams((before) => {
          before.delete(name, value);
          return before;
        });
      return text === null ? [] : [{ text, remove }];
    }),
    ...(period === "any" ? [] : [{ text: periodText(period, filter), remove: () => choosePeriod("any") }]),
    ...(order === "newest" ? [] : [{ text: `Order: ${ORDER_WORDS[order]}`, remove: () => chooseOrder("newest") }]),
  ];
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
          ...PERIOD_NAMES.map((value) => ({ value, text: PERIOD_WORDS[value] })),
          ...(period === null ? [{ value: FIXED, text: "Fixed times" } as const] : []),
        ]}
        value={period ?? FIXED}
        onChange={choosePeriod}
      />
      <Choice
        label="Order"
        options={ORDER_NAMES.map((value) => ({ value, text: ORDER_WORDS[value] }))}
        value={order}
        onChange={chooseOrder}
      />
      {chips.length > 0 && (
        <ul className="conditions" aria-label="Conditions">
          {chips.map(({ text, remove }) => (
            <li key={text}>
              <bdi>{text}</bdi>
              <Button look="plain" aria-label={`Without ${text}`} onPress={remove}>
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

/** Something that the list is narrowed, or ordered, by, and how it is without. */
interface Chip {
  readonly text: string;
  readonly remove: () => void;
}

/** @returns a condition of the address, as people say it; null for what is none. */
function conditionText(name: string, value: string): string | null {
  const said = NAMES.get(name);
  if (said === undefined) return null;
  const state = STATES.find((each) => each === value);
  if (name === "state" && state) return `${said}: ${stateWord(state)}`;
  const kind = KINDS.find((each) => each === value);
  if (name === "kind" && kind) return `${said}: ${kindWord(kind)}`;
  return `${said}: ${value}`;
}

function periodText(period: PeriodName | null, { createdAfter, createdBefore }: AiJobFilter): string {
  if (period !== null) return `Submitted: ${PERIOD_WORDS[period]}`;
  const from = createdAfter ? ` from ${exact(createdAfter)}` : "";
  const until = createdBefore ? ` until ${exact(createdBefore)}` : "";
  return `Submitted:${from}${until}`;
}

import { type AiJobFilter, AiJobStats, type JobState } from "@ai-job-server/sdk/client";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useSearchParams } from "wouter";
import { useBrokenAt } from "../api/connection.ts";
import { useClient } from "../api/session.ts";
import { whole } from "../ui/numbers.ts";
import { State } from "../ui/state.tsx";
import { STATES } from "../ui/states.ts";

/** How often the counts are read, in milliseconds. The server has them in one row for each state, however many jobs there are. */
const LOOK_MS = 1000;

/** How many jobs are in each state, live. Each chooses what the list is of. */
export function Counts({ filter: { states = [], ...others } }: { readonly filter: AiJobFilter }) {
  const client = useClient();
  const [, setParams] = useSearchParams();
  const isConnected = useBrokenAt() === null;
  const { data, isPlaceholderData } = useQuery({
    queryKey: ["counts", others],
    queryFn: ({ signal }) => client.request(AiJobStats, { filter: others }, { signal }),
    refetchInterval: LOOK_MS,
    placeholderData: keepPreviousData,
  });
  const counts = new Map(data?.aiJobStats.byState.map(({ state, count }) => [state, count]));
  // Those of another filter stand there until these come, and not where nobody knows when.
  const isKnown = data !== undefined && (isConnected || !isPlaceholderData);
  const chosen = new Set(states);
  const choose = (state: JobState, isMore: boolean) =>
    setParams((params) => {
      const isAlone = chosen.has(state) && chosen.size === 1;
      const next = new Set(isMore ? chosen : isAlone ? [] : [state]);
      if (isMore && !next.delete(state)) next.add(state);
      params.delete("state");
      for (const each of next) params.append("state", each);
      return params;
    });
  return (
    <div className="counts" role="group" aria-label="Jobs by state">
      {STATES.map((state) => (
        <button
          key={state}
          type="button"
          aria-pressed={chosen.has(state)}
          title="Hold Ctrl or ⌘ to choose several"
          onClick={({ ctrlKey, metaKey }) => choose(state, ctrlKey || metaKey)}
        >
          <State state={state} />
          <strong>{isKnown ? whole(counts.get(state) ?? 0) : "…"}</strong>
        </button>
      ))}
    </div>
  );
}

import type { EventFragment } from "@ai-job-server/sdk/client";
import { useRef } from "react";
import { whole } from "../ui/numbers.ts";
import { CHAIN_START, type Chain, follow } from "./chain.ts";

export interface VerifiedProps {
  readonly events: readonly EventFragment[] | undefined;
  /** The job's version: how many events there have to be. */
  readonly version: number;
}

/** Says whether the record that the server shows is the one that was written, as computed here, in the browser. */
export function Verified({ events, version }: VerifiedProps) {
  const followed = useRef<{ readonly events: readonly EventFragment[]; readonly chain: Chain }>({
    events: [],
    chain: CHAIN_START,
  });
  if (!events) return <span className="badge">Verifying…</span>;
  const known = followed.current;
  // Only what is new is computed; what was followed is still the same.
  const isLonger = known.events.every((event, index) => events[index] === event);
  const from = isLonger ? known : { events: [], chain: CHAIN_START };
  const chain = events.slice(from.events.length).reduce(follow, from.chain);
  followed.current = { events, chain };
  if (chain.broken)
    return (
      <span className="badge badge-bad" role="alert">
        ✕ The record breaks at event {chain.broken.version}: {chain.broken.how}
      </span>
    );
  // The job was read a moment before or after its events.
  if (chain.events < version) return <span className="badge">Verifying…</span>;
  return (
    <span className="badge badge-good" title={`SHA-256 of the last event: ${chain.head}`}>
      ✓ Verified in this browser: {whole(chain.events)} {chain.events === 1 ? "event" : "events"}
    </span>
  );
}

import { useEffect, useState } from "react";

/** Times, in the zone and the words of the person who reads them; the exact one, with its zone, is a pointer away. */

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });

/** How often the page's clock goes on, in milliseconds. */
const TICK_MS = 5000;

/** How long a unit is, in milliseconds, largest first. */
const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
] as const;

/** @returns the time of day. */
export function clock(at: string | number): string {
  return CLOCK.format(new Date(at));
}

/** @returns the date and the time, with the zone. */
export function exact(at: string | number): string {
  return EXACT.format(new Date(at));
}

/** @returns how long ago, or in how long, something is. */
export function relative(at: string | number, now: number): string {
  const exactly = new Date(at).getTime() - now;
  // The page's clock goes in steps: what has happened since the last one is not ahead.
  const ms = exactly > 0 && exactly < TICK_MS ? 0 : exactly;
  const [unit, length] = UNITS.find(([, size]) => Math.abs(ms) >= size) ?? ["second", 1000];
  return RELATIVE.format(Math.trunc(ms / length), unit);
}

/** @returns a length of time, such as `1 h 4 min`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** The time now, as far as a page of whole seconds needs it. One clock for all that shows it. */
const ticking = new Set<(now: number) => void>();
setInterval(() => {
  const now = Date.now();
  for (const tick of ticking) tick(now);
}, TICK_MS);

export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    ticking.add(setNow);
    return () => void ticking.delete(setNow);
  }, []);
  return now;
}

/** How long ago something was. */
export function Ago({ at }: { readonly at: string }) {
  const now = useNow();
  return (
    <time dateTime={at} title={exact(at)}>
      {relative(at, now)}
    </time>
  );
}

/** When something was, exactly. */
export function At({ at }: { readonly at: string }) {
  return <time dateTime={at}>{exact(at)}</time>;
}

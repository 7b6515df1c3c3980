import { median } from "./figures.ts";
import { type Load, load, type Operation } from "./load.ts";
import type { Server } from "./servers.ts";

/** A request that is sent to one server again and again. */
export interface Side {
  readonly server: Server;
  readonly operation: Operation;
}

export interface Comparison {
  readonly one: Load;
  readonly other: Load;
  /** The ratio of requests per second of the first server to those of the second: the median of the rounds' ratios. */
  readonly ratio: number;
}

/**
 * Sends requests to two servers in alternating rounds, so that other load on the machine affects both. The first round
 * is a warm-up.
 * @param milliseconds how long each server is measured in a round.
 * @returns the medians of the rounds.
 */
export async function compare(one: Side, other: Side, rounds: number, milliseconds: number): Promise<Comparison> {
  const measured: { one: Load; other: Load }[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    measured.push({
      one: await load(one.server.url, one.operation, milliseconds),
      other: await load(other.server.url, other.operation, milliseconds),
    });
  }
  measured.shift();
  return {
    one: middle(measured.map((round) => round.one)),
    other: middle(measured.map((round) => round.other)),
    ratio: median(measured.map((round) => round.one.perSecond / round.other.perSecond)),
  };
}

function middle(loads: readonly Load[]): Load {
  return {
    perSecond: median(loads.map(({ perSecond }) => perSecond)),
    p50: median(loads.map(({ p50 }) => p50)),
    p95: median(loads.map(({ p95 }) => p95)),
  };
}

/** A comparison as cells of a table: requests per second and latencies in milliseconds of each server. */
export function cells({ one, other, ratio }: Comparison): string[] {
  const rate = ({ perSecond }: Load) => perSecond.toFixed(0);
  const times = ({ p50, p95 }: Load) => `${p50.toFixed(1)} · ${p95.toFixed(1)}`;
  return [rate(one), rate(other), ratio.toFixed(2), times(one), times(other)];
}

/** The header of such a table. */
export function head(what: string, one: string, other: string): string[] {
  return [what, `${one}, requests/s`, other, "ratio", `${one}, p50 · p95 ms`, other];
}

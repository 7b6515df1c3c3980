import { median } from "./figures.ts";
import { type Load, load, type Operation } from "./load.ts";
import type { Server } from "./servers.ts";

/** A question, as it is put to one server. */
export interface Side {
  readonly server: Server;
  readonly operation: Operation;
}

export interface Comparison {
  readonly one: Load;
  readonly other: Load;
  /** Requests a second of the one over those of the other: the median of the rounds' own ratios. */
  readonly ratio: number;
}

/**
 * Puts a question to two servers in turn, round after round, so that whatever else the machine does meets both.
 * The first round only warms up.
 * @param milliseconds how long each of them is asked in a round.
 * @returns medians of the rounds.
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

/** A comparison as cells: requests a second, and the latencies in milliseconds, of each. */
export function cells({ one, other, ratio }: Comparison): string[] {
  const rate = ({ perSecond }: Load) => perSecond.toFixed(0);
  const times = ({ p50, p95 }: Load) => `${p50.toFixed(1)} · ${p95.toFixed(1)}`;
  return [rate(one), rate(other), ratio.toFixed(2), times(one), times(other)];
}

/** The head of a table of such cells. */
export function head(what: string, one: string, other: string): string[] {
  return [what, `${one}, requests/s`, other, "ratio", `${one}, p50 · p95 ms`, other];
}

/** Numbers and money, exact: sums are of BigInts, since that of a few numbers below 2^53 may lie above it. */

const WHOLE = new Intl.NumberFormat();
const PERCENT = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 0 });
const MICROS = 1_000_000n;

/** @returns a whole number, as the person's language writes it. */
export function whole(value: number | bigint): string {
  return WHOLE.format(value);
}

export function percent(fraction: number): string {
  return PERCENT.format(fraction);
}

/** @returns the exact sum. */
export function sum(values: Iterable<number>): bigint {
  let total = 0n;
  for (const value of values) total += BigInt(value);
  return total;
}

/**
 * @param micros an amount, in millionths of the currency.
 * @param atLeast how many decimals it has at least, such as those of a column.
 * @returns it, exactly: with more decimals only where it has them.
 */
export function money(micros: number | bigint, currency: string, atLeast = 2): string {
  const amount = BigInt(micros);
  return `${whole(amount / MICROS)}.${decimalsIn(amount).padEnd(atLeast, "0")} ${currency}`;
}

/** @returns how many decimals amounts need that stand below each other, the points too. */
export function moneyDecimals(amounts: Iterable<number>): number {
  let most = 2;
  for (const micros of amounts) most = Math.max(most, decimalsIn(BigInt(micros)).length);
  return most;
}

function decimalsIn(micros: bigint): string {
  return (micros % MICROS).toString().padStart(6, "0").replace(/0+$/, "");
}

/**
 * @param text an amount as it is typed, with at most six decimals behind a point or a comma.
 * @returns it in millionths, exactly; null for what is none, or too large to be kept so.
 */
export function microsIn(text: string): number | null {
  const [, units, decimals = ""] = /^(\d+)(?:[.,](\d{1,6}))?$/.exec(text.trim()) ?? [];
  if (units === undefined) return null;
  return safe(BigInt(units) * MICROS + BigInt(decimals.padEnd(6, "0")));
}

/** @returns an amount as `microsIn` takes it. */
export function typedAmount(micros: number): string {
  const amount = BigInt(micros);
  const decimals = decimalsIn(amount);
  return decimals === "" ? String(amount / MICROS) : `${amount / MICROS}.${decimals}`;
}

/** A whole number as people type it: in one piece, or with its thousands apart, as this page shows them. */
const TYPED_WHOLE = /^(\d+|\d{1,3}(?:[,.'’\s]\d{3})+)$/;

/** @returns a whole number from 0 on, as it is typed; null for what is none, or too large to be kept exactly. */
export function wholeIn(text: string): number | null {
  const typed = text.trim();
  return TYPED_WHOLE.test(typed) ? safe(BigInt(typed.replace(/\D/g, ""))) : null;
}

/**
 * @param step how far the numbers of an axis lie apart.
 * @returns a number of the axis, with as many decimals as tell it from its neighbours.
 */
export function tick(value: number, step: number): string {
  const decimals = Math.min(12, Math.max(0, decimalsOf(step)));
  return value.toLocaleString(undefined, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** @returns how many decimals a step such as 0.00025 has. */
function decimalsOf(step: number): number {
  const [, decimals = "", exponent = "0"] = /^\d(?:\.(\d+))?e([+-]\d+)$/.exec(step.toExponential()) ?? [];
  return decimals.length - Number(exponent);
}

/** @returns a value of a chart: money with all of its decimals, which may be six. */
export function chartValue(value: number): string {
  return value.toLocaleString(undefined, { maximumFractionDigits: 6 });
}

function safe(value: bigint): number | null {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null;
}

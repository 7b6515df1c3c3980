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
 * @returns it, exactly: with two decimals, and with more only where it has them.
 */
export function money(micros: number | bigint, currency: string): string {
  const amount = BigInt(micros);
  const decimals = (amount % MICROS)
    .toString()
    .padStart(6, "0")
    .replace(/0{1,4}$/, "");
  return `${whole(amount / MICROS)}.${decimals} ${currency}`;
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
  const decimals = (amount % MICROS).toString().padStart(6, "0").replace(/0+$/, "");
  return decimals === "" ? String(amount / MICROS) : `${amount / MICROS}.${decimals}`;
}

/** A whole number as people type it: in one piece, or with its thousands apart, as this page shows them. */
const TYPED_WHOLE = /^(\d+|\d{1,3}(?:[,.'’\s]\d{3})+)$/;

/** @returns a whole number from 0 on, as it is typed; null for what is none, or too large to be kept exactly. */
export function wholeIn(text: string): number | null {
  const typed = text.trim();
  return TYPED_WHOLE.test(typed) ? safe(BigInt(typed.replace(/\D/g, ""))) : null;
}

function safe(value: bigint): number | null {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null;
}

/** Lengths of time in whole units, as people write them. */

export const UNITS = { day: 86_400, hour: 3_600, minute: 60, second: 1 } as const;
export type Unit = keyof typeof UNITS;
export const UNIT_NAMES = ["day", "hour", "minute", "second"] as const satisfies readonly Unit[];

/** @returns a length in the largest unit of which it is a whole number. */
export function inUnits(seconds: number): { readonly count: number; readonly unit: Unit } {
  const unit = UNIT_NAMES.find((name) => seconds % UNITS[name] === 0) ?? "second";
  return { count: seconds / UNITS[unit], unit };
}

/** @returns a length, such as `30 days`. */
export function lengthText(seconds: number): string {
  const { count, unit } = inUnits(seconds);
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

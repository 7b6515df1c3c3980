import { JobKind, JobState, RecorderEventType } from "./generated/client/enums.ts";

/**
 * Enum values as the numbers by which statements search: `enum_code` of the database, in generated columns. Under row-level
 * security no comparison of enums uses an index (section 11). A test compares both sides.
 */

/** @returns the numbers of these kinds, as `ai_jobs.job_kind_code` has them. */
export function kindCodes(kinds: readonly JobKind[] = Object.values(JobKind)): number[] {
  return codesOf(Object.values(JobKind), kinds);
}

/** @returns the kind that `ai_jobs.job_kind_code` names by this number. @throws Error where it names none. */
export function kindOfCode(code: number): JobKind {
  const kind = Object.values(JobKind)[code - 1];
  if (kind === undefined) throw new Error(`No job kind has the code ${code}.`);
  return kind;
}

/** @returns the numbers of these states, as `ai_jobs.state_code` has them. */
export function stateCodes(states: readonly JobState[] = Object.values(JobState)): number[] {
  return codesOf(Object.values(JobState), states);
}

/** @returns the state that this number names. @throws Error where it names none. */
export function stateOfCode(code: number): JobState {
  const state = Object.values(JobState)[code - 1];
  if (state === undefined) throw new Error(`No job state has the code ${code}.`);
  return state;
}

/** @returns the numbers of these types, as `flight_recorder_events.type_code` has them. */
export function eventTypeCodes(types: readonly RecorderEventType[] = Object.values(RecorderEventType)): number[] {
  return codesOf(Object.values(RecorderEventType), types);
}

/** A value's number is its place in the list of all, from 1. */
function codesOf<Value>(all: readonly Value[], values: readonly Value[]): number[] {
  return values.map((value) => all.indexOf(value) + 1);
}

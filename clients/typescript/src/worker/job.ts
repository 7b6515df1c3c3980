import type { ChildJobFragment, ClaimedJobFragment, ClaimFragment } from "../api/generated.ts";

/** A job as its handler gets it; what it is to work on is typed by the kind's schema. */
export type ClaimedJob<Inputs = unknown> = Omit<ClaimedJobFragment, "jobInputs"> & {
  /** The inputs, as the handler's schema gives them. */
  readonly inputs: Inputs;
};

/** A child of a job, with its state and outputs. */
export type Child = ChildJobFragment;

export type Claim = ClaimFragment;

/** @returns a job with inputs that were checked. */
export function jobOf<Inputs>(
  { jobInputs: _unchecked, ...job }: ClaimedJobFragment,
  inputs: Inputs,
): ClaimedJob<Inputs> {
  return { ...job, inputs };
}

/** A statement about the whole database. `refutation` selects the rows that contradict it; there must be none. */
export interface Check {
  readonly name: string;
  readonly refutation: string;
}

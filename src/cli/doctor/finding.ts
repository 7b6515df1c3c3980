/** One thing that was looked at. */
export interface Finding {
  readonly check: string;
  /** A warning is for people to look at; the server would start. */
  readonly state: "ok" | "warning" | "failed";
  readonly text: string;
}

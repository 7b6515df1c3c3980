import type { JobState } from "@ai-job-server/sdk/client";
import { LOOKS } from "./states.ts";

export function State({ state }: { readonly state: JobState }) {
  const { sign, word, tone } = LOOKS[state];
  return (
    <span className={`state tone-${tone}`}>
      <span aria-hidden="true">{sign}</span> {word}
    </span>
  );
}

import { useJobOutput } from "@ai-job-server/sdk/react";
import { type ReactNode, useEffect, useRef } from "react";
import type { WholeJob } from "./use-job-view.ts";

/** The most characters that are drawn of what a run puts out: its end, which is what is new. */
const MAX_DRAWN = 20_000;

export interface OutputProps {
  readonly job: WholeJob;
  /** What stands there where nothing was put out. */
  readonly none?: ReactNode;
}

/** What the latest run puts out while it works, as it comes. */
export function Output({ job: { jobId, state }, none = null }: OutputProps) {
  const { text, isLast } = useJobOutput(jobId);
  const box = useRef<HTMLElement>(null);
  // Goes along with what is new, unless the person has scrolled back to read.
  const isAtEnd = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: with each new text.
  useEffect(() => {
    if (isAtEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  // What a poisoned job put out is not kept (section 13), nor shown any longer where it had come already.
  if (text === "" || state === "POISONED") return none;
  return (
    <section className="card" aria-labelledby="output">
      <h2 id="output">Output{state === "RUNNING" && !isLast ? ", as it comes" : " of the latest run"}</h2>
      <section
        className="text"
        dir="auto"
        ref={box}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
        tabIndex={0}
        aria-label="Text"
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
          isAtEnd.current = scrollTop + clientHeight > scrollHeight - 8;
        }}
      >
        {text.length > MAX_DRAWN && "…"}
        {text.slice(-MAX_DRAWN)}
      </section>
    </section>
  );
}

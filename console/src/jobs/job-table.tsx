import type { Job } from "@ai-job-server/sdk/client";
import { defaultRangeExtractor, type Range, useVirtualizer } from "@tanstack/react-virtual";
import { Fragment, memo, useCallback, useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { useSession } from "../api/session.ts";
import { kindWord } from "../ui/kind.ts";
import { money, moneyDecimals, percent, whole } from "../ui/numbers.ts";
import { ShortId } from "../ui/short-id.tsx";
import { State } from "../ui/state.tsx";
import { exact, relative, useNow } from "../ui/time.tsx";
import { rowText } from "./row-text.ts";

const ROW_HEIGHT = 46;
/** How near the end, in rows, the next page is read: so early that nobody who scrolls sees an end. */
const NEAR_END = 150;
/** The second page is not read before this row is in sight, which it is only for somebody who scrolls. */
const SCROLLED = 50;

export interface Held {
  isPointedAt: boolean;
  isScrolled: boolean;
  hasFocus: boolean;
}

export interface JobTableProps {
  readonly jobs: readonly Job[];
  readonly gone: ReadonlySet<string>;
  readonly hasMore: boolean;
  readonly onEnd: () => void;
  /** What the table tells of whoever looks at it. */
  readonly held: Held;
}

/** The number of the first row for a screen reader, which counts from 1, and the row of heads too. */
const FIRST_ROW = 2;

const COLUMNS = ["State", "Job", "Progress or reason", "Run", "Tokens", "Cost", "Submitted", "Changed"] as const;

const NUMERIC: ReadonlySet<string> = new Set(["Run", "Tokens", "Cost"]);

/** The list as a table of which only the rows that can be seen are there, however long it is. */
export function JobTable({ jobs, gone, hasMore, onEnd, held }: JobTableProps) {
  const { currency } = useSession().viewer;
  const now = useNow();
  const scroller = useRef<HTMLDivElement>(null);
  const [focused, setFocused] = useState<number | null>(null);
  // The row that has the focus stays wherever the list is scrolled to: without it, the keys would move the list no further.
  const rangeExtractor = useCallback(
    (range: Range) => {
      const indexes = new Set(defaultRangeExtractor(range));
      if (focused !== null && focused < range.count) indexes.add(focused);
      return [...indexes].toSorted((one, other) => one - other);
    },
    [focused],
  );
  const rows = useVirtualizer({
    count: jobs.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 8,
    rangeExtractor,
  });
  const shown = rows.getVirtualItems();
  // Costs stand below each other, point below point; the column has never fewer decimals than before, so that nothing jumps.
  const decimals = useRef(2);
  decimals.current = Math.max(decimals.current, moneyDecimals(shown.map(({ index }) => jobs[index]?.costMicros ?? 0)));
  const last = rows.range?.endIndex ?? 0;
  useEffect(() => {
    if (hasMore && isNearEnd(last, jobs.length)) onEnd();
  }, [hasMore, last, jobs.length, onEnd]);
  // What the page takes until it can be used; browsers show it in their tools, and test/console keeps it small.
  useEffect(() => {
    performance.mark("list drawn");
  }, []);
  useEffect(
    () => () => {
      held.isPointedAt = false;
      held.isScrolled = false;
      held.hasFocus = false;
    },
    [held],
  );
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: whether somebody points at it is only looked at.
    <div
      className="rows"
      ref={scroller}
      onPointerEnter={() => (held.isPointedAt = true)}
      onPointerLeave={() => (held.isPointedAt = false)}
      onFocus={({ target }) => {
        held.hasFocus = true;
        setFocused(indexOfRow(target));
      }}
      onBlur={() => {
        held.hasFocus = false;
        setFocused(null);
      }}
      onScroll={({ currentTarget }) => (held.isScrolled = currentTarget.scrollTop > ROW_HEIGHT / 2)}
    >
      {/* biome-ignore lint/a11y/useSemanticElements: a table whose rows are placed by themselves is none to a browser. */}
      <div role="table" aria-label="Jobs" aria-rowcount={hasMore ? -1 : jobs.length + 1}>
        <div role="rowgroup" className="row-head">
          {/* biome-ignore lint/a11y/useFocusableInteractive: nothing happens in a row of heads. */}
          <div role="row" aria-rowindex={1} className="row">
            {COLUMNS.map((name) => (
              // biome-ignore lint/a11y/useFocusableInteractive: nothing happens in a head.
              <div role="columnheader" key={name} className={NUMERIC.has(name) ? "numeric" : undefined}>
                {name}
              </div>
            ))}
          </div>
        </div>
        <div role="rowgroup" className="row-space" style={{ blockSize: rows.getTotalSize() }}>
          {shown.map(({ index, start }) => {
            const job = jobs[index];
            return (
              job && (
                <Row
                  key={job.jobId}
                  job={job}
                  index={index}
                  start={start}
                  isGone={gone.has(job.jobId)}
                  currency={currency}
                  decimals={decimals.current}
                  now={now}
                />
              )
            );
          })}
        </div>
      </div>
    </div>
  );
}

function isNearEnd(row: number, count: number): boolean {
  return row >= count - NEAR_END && row >= Math.min(SCROLLED, count - SCROLLED);
}

/** @returns where in the list the row is that something stands in. */
function indexOfRow(element: Element): number | null {
  const row = element.closest("[aria-rowindex]")?.getAttribute("aria-rowindex");
  return row == null ? null : Number(row) - FIRST_ROW;
}

interface RowProps {
  readonly job: Job;
  readonly index: number;
  readonly start: number;
  readonly isGone: boolean;
  readonly currency: string;
  readonly decimals: number;
  readonly now: number;
}

/** Drawn again only where its job has changed: fifty change in a second, and forty are in sight. */
const Row = memo(function Row({ job, index, start, isGone, currency, decimals, now }: RowProps) {
  const { jobId, jobKind, protocolId, state, progress, attempt, labels, costMicros, metrics } = job;
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: its link is what the focus goes to.
    <div
      // biome-ignore lint/a11y/useSemanticElements: as the table.
      role="row"
      aria-rowindex={index + FIRST_ROW}
      className={isGone ? "row row-gone" : "row"}
      style={{ transform: `translateY(${start}px)`, blockSize: ROW_HEIGHT }}
    >
      <div role="cell">
        <State state={state} />
      </div>
      <div role="cell" className="cell-job">
        <Link href={`/jobs/${jobId}`}>{kindWord(jobKind)}</Link>
        {/* What is short and tells jobs apart is first: of the rest a narrow row may lack the end, which the title has. */}
        <span className="quiet cell-about" title={[protocolId, ...labels.map(labelText), jobId].join("\n")}>
          <ShortId id={jobId} /> <bdi>{protocolId}</bdi>
          {labels.map((label) => (
            <Fragment key={label.key}>
              {" "}
              <bdi className="label">{labelText(label)}</bdi>
            </Fragment>
          ))}
        </span>
      </div>
      <div role="cell">
        {state === "RUNNING" && progress?.fraction != null ? (
          <progress value={progress.fraction} aria-label={`${percent(progress.fraction)} done`} />
        ) : (
          <span className="quiet" dir="auto" title={rowText(job)}>
            {rowText(job)}
          </span>
        )}
      </div>
      <div role="cell" className="numeric">
        {attempt}
      </div>
      <div role="cell" className="numeric">
        {whole(metrics.totalTokens)}
      </div>
      <div role="cell" className="numeric">
        {money(costMicros, currency, decimals)}
      </div>
      <div role="cell">
        <time dateTime={job.createdAt} title={exact(job.createdAt)}>
          {relative(job.createdAt, now)}
        </time>
      </div>
      <div role="cell">
        <time dateTime={job.updatedAt} title={exact(job.updatedAt)}>
          {relative(job.updatedAt, now)}
        </time>
      </div>
    </div>
  );
});

function labelText({ key, value }: Job["labels"][number]): string {
  return `${key}=${value}`;
}

import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { chartValue, tick } from "./numbers.ts";

const HEIGHT = 220;

export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
}

export interface ChartProps {
  /** What the picture says, for those who do not see it. */
  readonly label: string;
  /** Seconds since 1970, ascending. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  /** Whether a value holds until the next one. */
  readonly isStepped?: boolean;
  /** Whether its times are told in UTC, and not in the person's zone. */
  readonly isUtc?: boolean;
}

/** Values over time. */
export function Chart({ label, times, series, isStepped = false, isUtc = false }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const names = series.map(({ name }) => name).join("\n");
  const data = useRef<uPlot.AlignedData>([[]]);
  data.current = [[...times], ...series.map(({ values }) => [...values])];
  const plot = useRef<uPlot>(null);
  useEffect(() => {
    const parent = box.current;
    if (!parent) return;
    const { color: text } = getComputedStyle(parent);
    const axis = { stroke: text, grid: { stroke: "#8884" }, ticks: { stroke: "#8884" } };
    const paths = isStepped ? uPlot.paths.stepped?.({ align: 1 }) : undefined;
    const drawn = new uPlot(
      {
        width: parent.clientWidth,
        height: HEIGHT,
        legend: { live: true },
        ...(isUtc ? { tzDate: (seconds: number) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") } : {}),
        axes: [
          { ...axis, space: TIME_SPACE },
          {
            ...axis,
            size: (_plot, texts) => Math.max(0, ...(texts ?? []).map(({ length }) => length)) * DIGIT + TICK,
            values: (_plot, values, _axis, _space, step) => values.map((value) => tick(value, step)),
          },
        ],
        series: [
          { label: "Time", value: (plot, time) => timeText(shownOf(plot, 0, time), isUtc) },
          ...names.split("\n").map((name, index) => ({
            label: name,
            stroke: COLOURS[index % COLOURS.length] ?? text,
            width: 2,
            value: (plot: uPlot, value: number | null, place: number) => numberText(shownOf(plot, place, value)),
            ...(paths ? { paths } : {}),
          })),
        ],
      },
      data.current,
      parent,
    );
    plot.current = drawn;
    const sizes = new ResizeObserver(() => drawn.setSize({ width: parent.clientWidth, height: HEIGHT }));
    sizes.observe(parent);
    return () => {
      sizes.disconnect();
      drawn.destroy();
    };
  }, [names, isStepped, isUtc]);
  useEffect(() => plot.current?.setData(data.current), [times, series]);
  return <div className="chart" role="img" aria-label={label} ref={box} />;
}

/** How wide the text of a time is, that of milliseconds too; a digit; and the mark beside it; in pixels. */
const TIME_SPACE = 110;
const DIGIT = 8;
const TICK = 16;

/** @returns the value that is pointed at, or else the last one: a legend always says something. */
function shownOf(plot: uPlot, place: number, value: number | null): number | null | undefined {
  return value ?? plot.data[place]?.at(-1);
}

function numberText(value: number | null | undefined): string {
  return value == null ? "" : chartValue(value);
}

function timeText(seconds: number | null | undefined, isUtc: boolean): string {
  if (seconds == null) return "";
  const zone = isUtc ? { timeZone: "UTC" } : {};
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium", ...zone });
}

/** Told apart without seeing red or green, on light and on dark. */
const COLOURS = ["#3b82f6", "#e08a00", "#0d9488", "#a855f7", "#db2777", "#65a30d", "#64748b"];

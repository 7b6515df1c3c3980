import { existsSync, readFileSync } from "node:fs";
import { z } from "zod";
import { isLostWith } from "./codes.ts";
import { type Entry, entrySchema, type ReportInput, type SentKind } from "./entries.ts";
import { type KitLine, kitLineSchema } from "./kit/lines.ts";
import { entriesOf } from "./kit/read-lines.ts";

/** Reads the journals of workers, with a kit or without. */

const lineSchema = z.union([entrySchema, kitLineSchema]);

export function readJournal(path: string): readonly Entry[] {
  if (!existsSync(path)) return [];
  return entriesOf(readFileSync(path, "utf8").split("\n").flatMap(parse));
}

/** What a line says; nothing for an incomplete line, because what it announces was not done. */
function parse(line: string): (Entry | KitLine)[] {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return [];
  }
  return [lineSchema.parse(value)];
}

export interface PlannedReport {
  readonly kind: SentKind;
  readonly input: ReportInput;
}

/** What a worker that was killed has left to say: the reports that were not answered, and the usage of those that were refused. */
export function leftToSay(entries: readonly Entry[]): {
  readonly unanswered: readonly PlannedReport[];
  readonly refused: readonly PlannedReport[];
} {
  const planned = entries.flatMap((entry): PlannedReport[] =>
    entry.type === "planned" && entry.kind !== "renewal" ? [{ kind: entry.kind, input: entry.input }] : [],
  );
  const codes = new Map(
    entries.flatMap((e) => (e.type === "answered" ? [[`${e.kind === "usage"} ${e.reportId}`, e.code] as const] : [])),
  );
  const saidAsUsage = new Set(planned.flatMap(({ kind, input }) => (kind === "usage" ? [input.reportId] : [])));
  const codeOfPlanned = ({ kind, input }: PlannedReport) => codes.get(`${kind === "usage"} ${input.reportId}`);
  const isOpen = ({ kind, input }: PlannedReport) => kind === "usage" || !saidAsUsage.has(input.reportId);
  return {
    unanswered: planned.filter((report) => codeOfPlanned(report) === undefined && isOpen(report)),
    refused: planned.filter((report) => isLostWith(codeOfPlanned(report)) && isOpen(report)),
  };
}

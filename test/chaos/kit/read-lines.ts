import { z } from "zod";
import { isExpected, isOfEnd } from "../codes.ts";
import { broughtSchema, type Entry, type ReportKind } from "../entries.ts";
import type { Moment } from "../moment.ts";
import type { KitLine, LineOf } from "./lines.ts";
import { codeIn, readAnswer, reportsIn, type SentReport } from "./requests.ts";

/** Reads what a worker with a kit wrote as what one without a kit would have written, so that the same checks are about both. */

/** @param lines of one journal; entries stay as they are. */
export function entriesOf(lines: readonly (Entry | KitLine)[]): readonly Entry[] {
  const reader = new LineReader();
  return lines.flatMap((line) => reader.read(line));
}

const claimSchema = z.object({
  workflowRun: z.object({ workflowRunId: z.string(), attempt: z.number() }),
  job: z.object({ jobId: z.string() }),
  ...broughtSchema.shape,
});
const claimsSchema = z.object({ claims: z.array(claimSchema) });
const claimInputSchema = z.object({ leaseSeconds: z.number() });

/** A run as its lines have shown it so far. */
interface SeenRun {
  readonly workflowRunId: string;
  readonly jobId: string;
  /** When the last answer to a report was read. */
  lastAnswerAt: Moment | null;
  /** Reports that were accepted, and on which nothing shows yet that the kit counted. */
  uncounted: { readonly kind: ReportKind; readonly reportId: string; readonly at: Moment }[];
  hasEnded: boolean;
}

/** By which report a kit ends a run, by what it says of the end. What it stopped, it did not end. */
const ENDED_BY: Readonly<Record<string, readonly ReportKind[]>> = {
  completed: ["complete"],
  failed: ["fail"],
  "given back": ["release"],
  waits: ["release", "ask"],
};
const ENDING = /^[A-Z_]+ ([0-9a-f-]{36}): (.*)$/;

class LineReader {
  readonly #asked = new Map<string, { readonly line: LineOf<"asked">; readonly reports: readonly SentReport[] }>();
  readonly #planned = new Set<string>();
  readonly #runs = new Map<string, SeenRun>();

  read(line: Entry | KitLine): readonly Entry[] {
    switch (line.type) {
      case "asked":
        return this.#readAsked(line);
      case "got":
        return this.#readGot(line);
      case "working":
        return this.#readWorking(line);
      case "aborted":
        return this.#readAborted(line);
      case "logged":
        return this.#readLogged(line);
      case "claimed":
      case "begun":
      case "effect":
      case "counted":
      case "stopped":
      case "careless":
      case "planned":
      case "sent":
      case "answered":
      case "ended":
      case "unexpected":
        return [line];
    }
  }

  #readAsked(line: LineOf<"asked">): readonly Entry[] {
    const reports = reportsIn(line);
    this.#asked.set(line.exchange, { line, reports });
    const [first] = reports;
    if (!first) return [];
    const isNew = ({ kind, input }: SentReport) => {
      const id = `${kind === "usage"} ${input.reportId}`;
      return !this.#planned.has(id) && this.#planned.add(id);
    };
    const planned = reports.filter(isNew).map((report) => ({ type: "planned", ...report }) as const);
    const reportIds = reports.map(({ input }) => input.reportId);
    // Not held against its clock: a kit promises that it begins nothing and counts on nothing when a lease may be over; what it sends
    // then is refused.
    return [...planned, { type: "sent", kind: first.kind, reportIds, at: line.at, isLate: true }];
  }

  #readGot({ exchange, answer, at }: LineOf<"got">): readonly Entry[] {
    const { line, reports } = this.#asked.get(exchange) ?? {};
    if (!line || !reports) throw new Error("An answer to no request.");
    if (line.operation === "CompletedStep") return [];
    const said = readAnswer(answer);
    if (said === null) return [];
    if (said.says === "wrong") return [unexpected(line.operation, said.message)];
    if (line.operation === "ClaimAiJobs") return this.#readClaims(line, said.results[0]);
    const { results } = said;
    // A batch may be refused as a whole.
    if (reports.length > 0)
      return reports.flatMap((report, index) => this.#readResult(report, results[index] ?? results[0] ?? {}, line, at));
    const code = codeIn(results[0] ?? {});
    return code === null || code === "TRY_AGAIN" || isOfEnd(code) ? [] : [unexpected(line.operation, code)];
  }

  #readClaims({ variables, at, operation }: LineOf<"asked">, result: unknown): readonly Entry[] {
    const code = codeIn(z.looseObject({ code: z.string().optional() }).parse(result));
    if (code !== null) return code === "TRY_AGAIN" ? [] : [unexpected(operation, code)];
    const { leaseSeconds } = claimInputSchema.parse(variables.input);
    return claimsSchema.parse(result).claims.map(({ workflowRun: { workflowRunId, attempt }, job, ...brought }) => {
      const { jobId } = job;
      const run = { workflowRunId, jobId, lastAnswerAt: null, uncounted: [], hasEnded: false };
      this.#runs.set(`${jobId} ${attempt}`, run);
      this.#runs.set(workflowRunId, run);
      return { type: "claimed", workflowRunId, jobId, leaseExpiresAt: null, leaseSeconds, sentAt: at, ...brought };
    });
  }

  #readResult(
    { kind, input }: SentReport,
    result: Parameters<typeof codeIn>[0],
    { operation, at: sentAt }: LineOf<"asked">,
    at: Moment,
  ): readonly Entry[] {
    const code = codeIn(result);
    const { reportId, workflowRunId } = input;
    if (code === "TRY_AGAIN") return [];
    const run = this.#runOf(workflowRunId);
    if (kind !== "renewal") run.lastAnswerAt = at;
    if (kind !== "renewal" && code === null) run.uncounted.push({ kind, reportId, at });
    const answered = { type: "answered", kind, reportId, sentAt, code, leaseExpiresAt: null } as const;
    const isWrong = !isExpected(kind, code, input, at.wallMs) || result.error?.code === "INVALID_INPUT";
    return [answered, ...(isWrong ? [unexpected(operation, JSON.stringify(result))] : [])];
  }

  #readWorking({ jobId, attempt, nodeId, calledAt }: LineOf<"working">): readonly Entry[] {
    const run = this.#runOf(`${jobId} ${attempt}`);
    // The kit looks at the clock behind both: so this is what it knew when it looked, even if the process stood still after that.
    const { workflowRunId, lastAnswerAt } = run;
    const at = lastAnswerAt && lastAnswerAt.steadyMs > calledAt.steadyMs ? lastAnswerAt : calledAt;
    return [...countAll(run), { type: "begun", workflowRunId, nodeId, at }];
  }

  #readAborted({ jobId, attempt, reason, message, at }: LineOf<"aborted">): readonly Entry[] {
    const { workflowRunId } = this.#runOf(`${jobId} ${attempt}`);
    const isByClock = reason === "Stopped" && message.startsWith("By the worker's own clock");
    return isByClock ? [{ type: "stopped", workflowRunId, at }] : [];
  }

  #readLogged({ line }: LineOf<"logged">): readonly Entry[] {
    const [, jobId, ending = ""] = ENDING.exec(line) ?? [];
    if (jobId === undefined || ending === "stopped") return [];
    const kinds = ENDED_BY[ending] ?? [];
    const run = [...this.#runs.values()].find(
      (each) => each.jobId === jobId && !each.hasEnded && each.uncounted.some(({ kind }) => kinds.includes(kind)),
    );
    if (!run)
      return [unexpected("The kit", `says “${line}”, and no report is known to be accepted by which that was so.`)];
    run.hasEnded = true;
    return [...countAll(run), { type: "ended", workflowRunId: run.workflowRunId, ending }];
  }

  #runOf(id: string): SeenRun {
    const run = this.#runs.get(id);
    if (!run) throw new Error(`The run ${id} was not claimed.`);
    return run;
  }
}

/** What goes on because reports were accepted counts on them, as of when their answers came. */
function countAll(run: SeenRun): readonly Entry[] {
  const { workflowRunId } = run;
  const counted = run.uncounted.map(({ reportId, at }) => ({ type: "counted", workflowRunId, reportId, at }) as const);
  run.uncounted = [];
  return counted;
}

function unexpected(operation: string, message: string): Entry {
  return { type: "unexpected", message: `${operation}: ${message}` };
}

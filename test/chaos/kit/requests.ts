import { z } from "zod";
import { inputSchema, type ReportInput, type ReportKind } from "../entries.ts";
import type { LineOf } from "./lines.ts";

/** Which reports the requests of a kit bring, and what their answers say of each. */

/** A report that a kit has sent. */
export interface SentReport {
  readonly kind: ReportKind;
  readonly input: ReportInput;
}

/** For each operation that reports, the kind, and the name of the list where it takes one. */
const REPORTING: Readonly<Record<string, { readonly kind: ReportKind; readonly list?: string }>> = {
  HeartbeatWorkflows: { kind: "renewal", list: "heartbeats" },
  AdvanceWorkflow: { kind: "advance" },
  CompleteWorkflows: { kind: "complete", list: "completions" },
  FailWorkflows: { kind: "fail", list: "failures" },
  ReleaseWorkflows: { kind: "release", list: "releases" },
  RequestUserInput: { kind: "ask" },
  ReportUsage: { kind: "usage" },
};

/** @returns the reports of a request, in its order; none for a request that reports nothing. A heartbeat gets an id, as it has none. */
export function reportsIn({ operation, variables, exchange }: LineOf<"asked">): readonly SentReport[] {
  const { kind, list } = REPORTING[operation] ?? {};
  if (!kind) return [];
  const inputs = list ? z.object({ [list]: z.array(z.unknown()) }).parse(variables.input)[list] : [variables.input];
  return (inputs ?? []).map((input, at) => {
    const given = kind === "renewal" ? { ...z.looseObject({}).parse(input), reportId: `${exchange} ${at}` } : input;
    return { kind, input: inputSchema.parse(given) };
  });
}

const refusal = z.object({ code: z.string() });
const resultSchema = z.looseObject({
  __typename: z.string().optional(),
  code: z.string().optional(),
  directive: z.string().optional(),
  error: refusal.nullish(),
});
type Result = z.infer<typeof resultSchema>;

const answerSchema = z.object({
  data: z.record(z.string(), resultSchema.extend({ results: z.array(resultSchema).optional() }).nullable()).nullish(),
  errors: z.array(z.object({ message: z.string(), extensions: refusal.optional() })).optional(),
});

/** What an answer says: of the request as a whole, or of each of its items; null where nobody knows. */
export type Said =
  | { readonly says: "results"; readonly results: readonly Result[] }
  | { readonly says: "wrong"; readonly message: string }
  | null;

export function readAnswer(answer: unknown): Said {
  const { data, errors = [] } = answerSchema.parse(answer);
  if (errors.some(({ extensions }) => extensions?.code === "INTERNAL_SERVER_ERROR")) return null;
  if (errors.length > 0 || !data) return { says: "wrong", message: JSON.stringify(answer) };
  const [value] = Object.values(data);
  return { says: "results", results: value?.results ?? (value ? [value] : []) };
}

/** The code by which something was refused; null where it was accepted. A heartbeat that renews the lease is accepted, whatever else it brought. */
export function codeIn({ __typename, code, directive, error }: Result): string | null {
  if (code !== undefined) return code;
  if (directive === "CONTINUE") return null;
  if (directive !== undefined) return error?.code ?? directive;
  return __typename === "JobPoisoned" ? "JOB_POISONED" : null;
}

import type { SubmitAiJobInput } from "@ai-job-server/sdk/client";
import { microsIn, wholeIn } from "../ui/numbers.ts";
import type { Draft } from "./draft.ts";
import { labelsIn, refsIn } from "./lines.ts";

export interface Read {
  readonly input: SubmitAiJobInput;
  /** What cannot be read, by field; the server finds the rest. */
  readonly faults: ReadonlyMap<string, string>;
}

/** @returns what was typed, as the API takes it. */
export function inputOf(draft: Draft): Read {
  const faults = new Map<string, string>();
  const optional = <Value>(name: keyof Draft, text: string, read: (text: string) => Value | null, fault: string) => {
    if (text.trim() === "") return undefined;
    const value = read(text);
    if (value === null) faults.set(name, fault);
    return value ?? undefined;
  };
  const { labels, wrong: wrongLabels } = labelsIn(draft.labels);
  if (wrongLabels.length > 0) faults.set("labels", `Not key=value: ${wrongLabels.join(", ")}`);
  const { refs, wrong: wrongRefs } = refsIn(draft.entityRefs);
  if (wrongRefs.length > 0) faults.set("entityRefs", `Not a kind and an id: ${wrongRefs.join(", ")}`);
  if (draft.protocolId.trim() === "") faults.set("protocolId", "This is needed.");
  const priority = optional("priority", draft.priority, integerIn, "This must be a whole number.");
  const maxAttempts = optional("maxAttempts", draft.maxAttempts, wholeIn, "This must be a whole number.");
  const tokenBudget = optional("tokenBudget", draft.tokenBudget, wholeIn, "This must be a whole number.");
  const costBudgetMicros = optional(
    "costBudgetMicros",
    draft.costBudgetMicros,
    microsIn,
    "This must be an amount, with at most six decimals.",
  );
  const runAfter = optional("runAfter", draft.runAfter, timeIn, "This is no time.");
  const jobInputs = jsonIn(draft.jobInputs, faults);
  const input = {
    ...draft.more,
    jobKind: draft.jobKind,
    protocolId: draft.protocolId.trim(),
    accessMode: draft.accessMode,
    safetyMode: draft.safetyMode,
    modelTier: draft.modelTier,
    labels: [...labels],
    entityRefs: [...refs],
    ...(jobInputs === undefined ? {} : { jobInputs }),
    ...(priority === undefined ? {} : { priority }),
    ...(maxAttempts === undefined ? {} : { maxAttempts }),
    ...(tokenBudget === undefined ? {} : { tokenBudget }),
    ...(costBudgetMicros === undefined ? {} : { costBudgetMicros }),
    ...(runAfter === undefined ? {} : { runAfter }),
    ...(draft.capabilityProfileId === "" ? {} : { capabilityProfileId: draft.capabilityProfileId }),
    ...(draft.idempotencyKey === "" ? {} : { idempotencyKey: draft.idempotencyKey }),
  };
  return { input, faults };
}

/** @returns what is wrong with a JSON as far as it is typed; undefined where nothing is, or nothing is there. */
export function jsonFault(text: string): string | undefined {
  const faults = new Map<string, string>();
  jsonIn(text, faults);
  return faults.get("jobInputs");
}

function jsonIn(text: string, faults: Map<string, string>): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    faults.set("jobInputs", `This is not JSON: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

function integerIn(text: string): number | null {
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}

function timeIn(text: string): string | null {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}

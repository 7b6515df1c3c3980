import type { JobKind, ModelTier, SubmitAiJobInput } from "../../test/generated/graphql.ts";
import { meansOf } from "../worker/document.ts";
import type { DemoDocument } from "./documents.ts";

/** What the demo's jobs are called: the worker takes no other. */
export const PROTOCOL = "summarise-document-v1";

export interface PlannedJob {
  readonly document: DemoDocument;
  readonly input: SubmitAiJobInput;
}

/** One job for each document and kind. */
export function planJobs(
  kinds: readonly JobKind[],
  documents: readonly (DemoDocument & { readonly text: string })[],
  modelTier: ModelTier,
): readonly PlannedJob[] {
  return kinds.flatMap((jobKind) =>
    documents.map((document) => ({ document, input: inputFor(jobKind, document, modelTier) })),
  );
}

function inputFor(jobKind: JobKind, document: DemoDocument & { readonly text: string }, modelTier: ModelTier) {
  const { name: documentName, isPasted, text } = document;
  const target = { entityKind: "document", entityId: documentName };
  // The server judges the capability that the kind needs: terminal_exec gets the profile `terminal`, by itself.
  const runsCommand = meansOf(jobKind) === "command";
  return {
    jobKind,
    protocolId: PROTOCOL,
    modelTier,
    entityRefs: [target],
    plannedOperations: [{ opType: runsCommand ? ("EXECUTE" as const) : ("READ" as const), target }],
    // A command reads a file: nothing is pasted for it.
    jobInputs: isPasted && !runsCommand ? { documentName, text } : { documentName },
    // One more than the first: what a model could not do twice in a demo, it will not do.
    maxAttempts: 2,
    // Lets a submit that got no answer be sent again without making a second job.
    idempotencyKey: `${jobKind}:${documentName}`,
  };
}

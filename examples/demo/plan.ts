import type { JobKind, ModelTier, SubmitAiJobInput } from "../../test/generated/graphql.ts";
import { meansOf } from "../worker/document.ts";
import type { DemoDocument } from "./documents.ts";

/** The protocol of the demo's jobs, by which they are watched and listed. */
export const PROTOCOL = "summarise-document-v1";

export interface PlannedJob {
  readonly document: DemoDocument;
  readonly input: SubmitAiJobInput;
}

/** The submits: one job for each document and kind. */
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
  // No capability profile is named: the server uses the default profile of the kind, for terminal_exec `terminal`.
  const runsCommand = meansOf(jobKind) === "command";
  return {
    jobKind,
    protocolId: PROTOCOL,
    modelTier,
    entityRefs: [target],
    plannedOperations: [{ opType: runsCommand ? ("EXECUTE" as const) : ("READ" as const), target }],
    // A terminal_exec job runs a command that reads the file, so its inputs only name the document.
    jobInputs: isPasted && !runsCommand ? { documentName, text } : { documentName },
    // One retry: a model that fails twice in a demo will fail again.
    maxAttempts: 2,
    // A submit that got no answer can be sent again without creating a second job.
    idempotencyKey: `${jobKind}:${documentName}`,
  };
}

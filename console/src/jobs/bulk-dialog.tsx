import {
  type AiJobFilter,
  type BulkActionFragment,
  type BulkActionKind,
  CancelAiJobs,
  RetryAiJobs,
  successOf,
} from "@ai-job-server/sdk/client";
import { useRef, useState } from "react";
import { useClient } from "../api/session.ts";
import { useAction } from "../api/use-action.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Failure } from "../ui/failure.tsx";
import { TextInput } from "../ui/fields.tsx";
import { DialogForm } from "../ui/form-dialog.tsx";
import { whole } from "../ui/numbers.ts";
import { Waiting } from "../ui/waiting.tsx";
import { BulkBegun } from "./bulk-begun.tsx";
import { BulkPreview, usePreview } from "./bulk-preview.tsx";

const VERBS = { CANCEL: "Cancel", RETRY: "Retry" } as const satisfies Record<BulkActionKind, string>;
/** The most jobs of one action (section 6). */
const MAX_JOBS = 100_000;

export interface BulkDialogProps {
  readonly kind: BulkActionKind;
  readonly filter: AiJobFilter;
  /** Whether it is on some of the jobs alone, for its title. */
  readonly isFiltered: boolean;
  readonly onClose: () => void;
}

/** Shows how many jobs, and which, an action will be on, and begins it. What is submitted after the look is not touched. */
export function BulkDialog({ kind, filter, isFiltered, onClose }: BulkDialogProps) {
  const client = useClient();
  const action = useAction();
  const lookedAt = useRef(new Date());
  const createdBefore = earlier(filter.createdBefore, lookedAt.current);
  const fixed = { ...filter, createdBefore };
  const { preview, error, refetch } = usePreview(kind, fixed);
  const [reason, setReason] = useState("");
  const [begun, setBegun] = useState<BulkActionFragment | null>(null);
  const jobs = Math.min(preview?.total ?? 0, MAX_JOBS);
  const begin = () =>
    action.run(async () => {
      const input = { filter: fixed, limit: jobs };
      const { bulkAction } =
        kind === "CANCEL"
          ? successOf((await client.request(CancelAiJobs, { input: { ...input, reason } })).cancelAiJobs)
          : successOf((await client.request(RetryAiJobs, { input })).retryAiJobs);
      setBegun(bulkAction);
    });
  // One dialog for all that it shows: one that took the place of another would not know what had the focus before.
  return (
    <Dialog
      title={`${VERBS[kind]} all ${isFiltered ? "that match" : "jobs"}`}
      isOpen
      hasForm={preview !== undefined && !begun}
      onClose={onClose}
    >
      {begun && <BulkBegun action={begun} onClose={onClose} />}
      {!begun && !preview && (
        <>
          {error ? <Failure error={error} retry={() => void refetch()} /> : <Waiting what="What matches" />}
          <div className="bar">
            <Button onPress={onClose}>Leave it</Button>
          </div>
        </>
      )}
      {!begun && preview && (
        <DialogForm
          verb={`${VERBS[kind]} ${whole(jobs)}`}
          look="danger"
          action={action}
          isDisabled={jobs === 0}
          onSubmit={begin}
          onClose={onClose}
        >
          <BulkPreview kind={kind} preview={preview} before={createdBefore} />
          {jobs < preview.total && <p>One action takes {whole(jobs)} at most, the oldest. Then begin another one.</p>}
          {kind === "CANCEL" && (
            <TextInput
              label="Why (required)"
              value={reason}
              onChange={setReason}
              isRequired
              autoFocus
              hint="It is kept in each job's record."
            />
          )}
        </DialogForm>
      )}
    </Dialog>
  );
}

function earlier(bound: string | null | undefined, now: Date): string {
  return bound != null && Date.parse(bound) < now.getTime() ? bound : now.toISOString();
}

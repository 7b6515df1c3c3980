import type { EventFragment } from "@ai-job-server/sdk/client";
import { useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Link } from "wouter";
import { useClient, useMay } from "../api/session.ts";
import { useAction } from "../api/use-action.ts";
import { Button } from "../ui/button.tsx";
import { TextInput, Tick } from "../ui/fields.tsx";
import { FormDialog } from "../ui/form-dialog.tsx";
import { Refused } from "../ui/refused.tsx";
import { CAN_CANCEL, CAN_RETRY } from "../ui/states.ts";
import { isSaidToBeFinal } from "./record.ts";
import type { WholeJob } from "./use-job-view.ts";

export interface ActionsProps {
  readonly job: WholeJob;
  readonly events?: readonly EventFragment[] | undefined;
}

/** What can be done about a job now, of what the person may do. */
export function Actions({ job, events = [] }: ActionsProps) {
  const client = useClient();
  const queries = useQueryClient();
  const mayOperate = useMay("JOBS_OPERATE");
  const maySubmit = useMay("JOBS_SUBMIT");
  const [isCancelling, setIsCancelling] = useState(false);
  const { failure, isBusy, run } = useAction();
  const hint = useId();
  const canRetry = mayOperate && CAN_RETRY.has(job.state);
  const isFinal = canRetry && isSaidToBeFinal(events);
  const retry = () =>
    run(async () => {
      await client.retry(job.jobId);
      await queries.invalidateQueries({ queryKey: ["job", job.jobId] });
    });
  return (
    <>
      <div className="bar">
        {canRetry && (
          <Button
            {...(isFinal ? { "aria-describedby": hint } : { look: "primary" as const })}
            isBusy={isBusy}
            onPress={retry}
          >
            Retry
          </Button>
        )}
        {mayOperate && CAN_CANCEL.has(job.state) && <Button onPress={() => setIsCancelling(true)}>Cancel…</Button>}
        {maySubmit && (
          <Link className="button" href={`/submit?from=${job.jobId}`}>
            Submit another like it
          </Link>
        )}
      </div>
      {isFinal && (
        <p id={hint} className="hint">
          Its worker said that another attempt would fail in the same way. Retry it when the cause has been removed.
        </p>
      )}
      <Refused error={failure} />
      {isCancelling && <CancelDialog job={job} onClose={() => setIsCancelling(false)} />}
    </>
  );
}

function CancelDialog({ job, onClose }: { readonly job: WholeJob; readonly onClose: () => void }) {
  const client = useClient();
  const queries = useQueryClient();
  const action = useAction();
  const hasChildren = job.children.totalCount > 0;
  const [reason, setReason] = useState("");
  const [includeChildren, setIncludeChildren] = useState(hasChildren);
  const cancel = () =>
    action.run(async () => {
      await client.cancel(job.jobId, reason, { includeChildren });
      await queries.invalidateQueries({ queryKey: ["job", job.jobId] });
      onClose();
    });
  return (
    <FormDialog
      title="Cancel this job"
      verb="Cancel it"
      look="danger"
      action={action}
      isDisabled={reason.trim() === ""}
      onSubmit={cancel}
      onClose={onClose}
    >
      <TextInput
        label="Why (required)"
        hint="It is kept in the job's record. A worker that runs the job is told to stop."
        value={reason}
        onChange={setReason}
        isRequired
        autoFocus
      />
      {hasChildren && (
        <Tick isSelected={includeChildren} onChange={setIncludeChildren}>
          All jobs below it, too
        </Tick>
      )}
    </FormDialog>
  );
}

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { messageOf } from "../api/errors.ts";
import { useClient, useMay } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { TextInput, Tick } from "../ui/fields.tsx";
import { CAN_CANCEL, CAN_RETRY } from "../ui/states.ts";
import type { WholeJob } from "./use-job-view.ts";

/** What can be done about a job now, of what the person may do. */
export function Actions({ job }: { readonly job: WholeJob }) {
  const client = useClient();
  const queries = useQueryClient();
  const mayOperate = useMay("JOBS_OPERATE");
  const maySubmit = useMay("JOBS_SUBMIT");
  const [isCancelling, setIsCancelling] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);
  const retry = () => {
    setFailure(null);
    client
      .retry(job.jobId)
      .then(() => queries.invalidateQueries({ queryKey: ["job", job.jobId] }))
      .catch((error: unknown) => setFailure(messageOf(error)));
  };
  return (
    <>
      <div className="bar">
        {mayOperate && CAN_RETRY.has(job.state) && (
          <Button look="primary" onPress={retry}>
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
      {failure && (
        <p role="alert" className="notice notice-error">
          {failure}
        </p>
      )}
      {isCancelling && <CancelDialog job={job} onClose={() => setIsCancelling(false)} />}
    </>
  );
}

function CancelDialog({ job, onClose }: { readonly job: WholeJob; readonly onClose: () => void }) {
  const client = useClient();
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const [includeChildren, setIncludeChildren] = useState(job.children.totalCount > 0);
  const [failure, setFailure] = useState<string | null>(null);
  const cancel = () => {
    client
      .cancel(job.jobId, reason, { includeChildren })
      .then(async () => {
        await queries.invalidateQueries({ queryKey: ["job", job.jobId] });
        onClose();
      })
      .catch((error: unknown) => setFailure(messageOf(error)));
  };
  return (
    <Dialog title="Cancel this job" isOpen onClose={onClose}>
      <TextInput
        label="Why (required)"
        hint="It stands in the job's record, and a worker that runs it is told."
        value={reason}
        onChange={setReason}
        isRequired
        autoFocus
      />
      {job.children.totalCount > 0 && (
        <Tick isSelected={includeChildren} onChange={setIncludeChildren}>
          All jobs below it, too
        </Tick>
      )}
      {failure && (
        <p role="alert" className="notice notice-error">
          {failure}
        </p>
      )}
      <div className="bar">
        <Button look="danger" isDisabled={reason.trim() === ""} onPress={cancel}>
          Cancel it
        </Button>
        <Button onPress={onClose}>Leave it</Button>
      </div>
    </Dialog>
  );
}

import {
  type AiJobFilter,
  AiJobStats,
  AiJobs,
  type BulkActionKind,
  CancelAiJobs,
  type JobClient,
  RetryAiJobs,
  successOf,
} from "@ai-job-server/sdk/client";
import { useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { Link } from "wouter";
import { messageOf } from "../api/errors.ts";
import { useClient } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Failure } from "../ui/failure.tsx";
import { TextInput } from "../ui/fields.tsx";
import { kindWord } from "../ui/kind.ts";
import { whole } from "../ui/numbers.ts";
import { State } from "../ui/state.tsx";
import { At } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";

const VERBS = { CANCEL: "Cancel", RETRY: "Retry" } as const satisfies Record<BulkActionKind, string>;
/** The most jobs of one action (section 6). */
const MAX_ITEMS = 1000;
/** How many of them are shown before. */
const SHOWN = 20;

export interface BulkDialogProps {
  readonly kind: BulkActionKind;
  readonly filter: AiJobFilter;
  readonly onClose: () => void;
}

/** Shows how many jobs, and which, an action will be on, and begins it. What is submitted after the look is not touched. */
export function BulkDialog({ kind, filter, onClose }: BulkDialogProps) {
  const client = useClient();
  const lookedAt = useRef(new Date());
  const fixed = { ...filter, createdBefore: earlier(filter.createdBefore, lookedAt.current) };
  const isNone = filter.states?.length === 0;
  const preview = useQuery({
    queryKey: ["bulk-preview", kind, fixed],
    queryFn: async ({ signal }) => {
      const [{ aiJobStats }, { aiJobs }] = await Promise.all([
        client.request(AiJobStats, { filter: fixed }, { signal }),
        client.request(
          AiJobs,
          { first: SHOWN, filter: fixed, orderBy: { field: "CREATED_AT", direction: "ASC" } },
          { signal },
        ),
      ]);
      return { total: aiJobStats.total, jobs: aiJobs.nodes };
    },
    enabled: !isNone,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const [reason, setReason] = useState("");
  const [begun, setBegun] = useState<{ readonly jobs: number } | null>(null);
  const [progress, setProgress] = useState<number | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const total = isNone ? 0 : preview.data?.total;
  const begin = async () => {
    if (total === undefined) return;
    setFailure(null);
    setProgress(0);
    try {
      setBegun({ jobs: await actOnAll(client, { kind, filter: fixed, reason, total, onProgress: setProgress }) });
    } catch (error) {
      setFailure(messageOf(error));
    }
    setProgress(null);
  };
  return (
    <Dialog title={`${VERBS[kind]} all that match`} isOpen onClose={onClose}>
      {preview.error && <Failure error={preview.error} retry={() => void preview.refetch()} />}
      {total === undefined && !preview.error && <Waiting what="What matches" />}
      {total !== undefined && begun === null && (
        <>
          <p>
            <strong>{whole(total)}</strong> {total === 1 ? "job" : "jobs"}, submitted before{" "}
            <At at={fixed.createdBefore} />.
          </p>
          {total === 0 && (
            <p>
              {kind === "CANCEL"
                ? "None of what is shown can be cancelled: all of it has ended."
                : "None of what is shown can be retried: nothing has failed or stalled."}
            </p>
          )}
          <ul className="preview">
            {preview.data?.jobs.map(({ jobId, jobKind, protocolId, state }) => (
              <li key={jobId}>
                <State state={state} /> {kindWord(jobKind)} <bdi className="quiet">{protocolId}</bdi>{" "}
                <code>{jobId}</code>
              </li>
            ))}
            {total > SHOWN && <li className="quiet">and {whole(total - SHOWN)} more, oldest first</li>}
          </ul>
          {kind === "CANCEL" && (
            <TextInput
              label="Why (required)"
              value={reason}
              onChange={setReason}
              isRequired
              hint="It stands in each job's record."
            />
          )}
          {failure && (
            <p role="alert" className="notice notice-error">
              {failure}
            </p>
          )}
          <div className="bar">
            <Button
              look="danger"
              isDisabled={total === 0 || (kind === "CANCEL" && reason.trim() === "") || progress !== null}
              onPress={() => void begin()}
            >
              {progress === null ? `${VERBS[kind]} ${whole(total)}` : `${whole(progress)} of ${whole(total)}…`}
            </Button>
            <Button onPress={onClose}>Leave them</Button>
          </div>
        </>
      )}
      {begun && (
        <>
          <p role="status">
            The server has taken {whole(begun.jobs)} {begun.jobs === 1 ? "job" : "jobs"}, and finishes them even if it
            is restarted half way.
          </p>
          <div className="bar">
            <Link href="/bulk" className="button button-primary">
              See what becomes of each
            </Link>
            <Button onPress={onClose}>Close</Button>
          </div>
        </>
      )}
    </Dialog>
  );
}

interface Action {
  readonly kind: BulkActionKind;
  readonly filter: AiJobFilter;
  readonly reason: string;
  readonly total: number;
  readonly onProgress: (jobs: number) => void;
}

/** Begins as many actions as it takes, each of at most 1,000 jobs, the oldest first. @returns how many jobs they are on. */
async function actOnAll(client: JobClient, { kind, filter, reason, total, onProgress }: Action): Promise<number> {
  let jobs = 0;
  while (jobs < total) {
    const limit = Math.min(MAX_ITEMS, total - jobs);
    const { bulkAction } =
      kind === "CANCEL"
        ? successOf((await client.request(CancelAiJobs, { input: { filter, reason, limit } })).cancelAiJobs)
        : successOf((await client.request(RetryAiJobs, { input: { filter, limit } })).retryAiJobs);
    jobs += bulkAction.total;
    onProgress(jobs);
    // None matches any more, or those that are left could not be changed and would be taken again.
    if (bulkAction.total === 0 || bulkAction.succeeded === 0) break;
  }
  return jobs;
}

function earlier(bound: string | null | undefined, now: Date): string {
  return bound != null && Date.parse(bound) < now.getTime() ? bound : now.toISOString();
}

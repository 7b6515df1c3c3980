import { type SyntheticEvent, useMemo, useRef, useState } from "react";
import { Form } from "react-aria-components";
import { useLocation, useSearchParams } from "wouter";
import { faultsOf } from "../api/errors.ts";
import { useClient, useMay } from "../api/session.ts";
import { useAction } from "../api/use-action.ts";
import { useJobView } from "../job/use-job-view.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure, Forbidden } from "../ui/failure.tsx";
import { useFaultFocus } from "../ui/fault-focus.ts";
import { Refused } from "../ui/refused.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { type Draft, draftOf, EMPTY, FIELD_NAMES, faultyText } from "./draft.ts";
import { inputOf } from "./input.ts";
import { LimitFields } from "./limit-fields.tsx";
import { PermissionFields } from "./permission-fields.tsx";
import { WorkFields } from "./work-fields.tsx";

/** Submits a job; `?from=` an existing one begins with what that one was submitted as. */
export default function Submit() {
  const maySubmit = useMay("JOBS_SUBMIT");
  const [params] = useSearchParams();
  const from = params.get("from");
  return (
    <>
      <h1>Submit a job</h1>
      {!maySubmit && <Forbidden why="To submit jobs, a key needs the role SUBMITTER (JOBS_SUBMIT)." />}
      {maySubmit && (from === null ? <JobForm key="" initial={EMPTY} /> : <Another key={from} jobId={from} />)}
    </>
  );
}

function Another({ jobId }: { readonly jobId: string }) {
  const mayRead = useMay("JOBS_READ");
  const { data: job, error, refetch } = useJobView(jobId);
  if (!mayRead) return <Forbidden why="Your key does not allow you to read the job to begin with (JOBS_READ)." />;
  if (error) return <Failure error={error} retry={() => void refetch()} />;
  if (job === undefined) return <Waiting what="The job" />;
  if (job === null) return <Empty>There is no job {jobId}, or it is of a workspace that you cannot see.</Empty>;
  const operations = job.plannedOperations.length;
  return (
    <>
      <p className="quiet">
        The form has what <code>{jobId}</code> was submitted with
        {operations > 0 && `, its ${operations} planned operations too`}. The new job has no parent, and a new
        idempotency key.
      </p>
      <JobForm initial={draftOf(job)} />
    </>
  );
}

function JobForm({ initial }: { readonly initial: Draft }) {
  const client = useClient();
  const [, navigate] = useLocation();
  const { failure, isBusy, run } = useAction();
  const [draft, setDraft] = useState(initial);
  const [faults, setFaults] = useState<ReadonlyMap<string, string>>(new Map());
  // The same form, sent again after an answer was lost, is the same job; a changed one is another.
  const own = useRef(randomKey());
  const change = (changed: Partial<Draft>) => {
    own.current = randomKey();
    setDraft((before) => ({ ...before, ...changed }));
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const { input, faults: found } = inputOf(draft);
    setFaults(found);
    if (found.size > 0) return;
    run(async () => {
      const { jobId } = await client.submit({ ...input, idempotencyKey: input.idempotencyKey ?? own.current });
      navigate(`/jobs/${jobId}`);
    });
  };
  // What the page finds and what the server finds is said in the same way: at the fields, and by their names.
  const all = useMemo(() => (faults.size > 0 ? faults : faultsOf(failure)), [faults, failure]);
  const form = useFaultFocus(all);
  const faulty = faultyText(all.keys());
  const fields = { draft, faults: all, onChange: change };
  return (
    <Form ref={form} className="form" onSubmit={submit}>
      <WorkFields {...fields} />
      <PermissionFields {...fields} />
      <LimitFields {...fields} />
      {faulty ? (
        <p role="alert" className="notice notice-error">
          {faulty}
        </p>
      ) : (
        <Refused error={failure} fields={Object.keys(FIELD_NAMES)} />
      )}
      <div>
        <Button look="primary" type="submit" isBusy={isBusy}>
          Submit
        </Button>
      </div>
    </Form>
  );
}

/** @returns a key that nobody else has. A page without TLS has no crypto.randomUUID. */
function randomKey(): string {
  return `console-${[...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("")}`;
}

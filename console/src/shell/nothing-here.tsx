import { ToJobs } from "../ui/to-jobs.tsx";

/** What stands at an address that is no view's. */
export function NothingHere() {
  return (
    <>
      <h1>There is no such view</h1>
      <p>The address may be mistyped, or of another version of the console.</p>
      <p>
        <ToJobs />
      </p>
    </>
  );
}

/** What stands at the address of a job whose id cannot be one: the server need not be asked. */
export function NotAJobId({ text }: { readonly text: string }) {
  return (
    <>
      <h1>There is no such job</h1>
      <p>
        <bdi>{text}</bdi> is no id of a job. An id is as long as 018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b.
      </p>
      <p>
        <ToJobs />
      </p>
    </>
  );
}

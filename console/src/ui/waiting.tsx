/** What stands where something is about to be. */
export function Waiting({ what }: { readonly what: string }) {
  return (
    <p className="waiting" role="status">
      {what} is loading…
    </p>
  );
}

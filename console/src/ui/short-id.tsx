/** How many of the last characters of an id are shown: enough to tell the jobs of a list apart. */
const SHORT_ID_LENGTH = 8;

/** The end of an id, where the whole one has no room. */
export function ShortId({ id }: { readonly id: string }) {
  return <code>…{id.slice(-SHORT_ID_LENGTH)}</code>;
}

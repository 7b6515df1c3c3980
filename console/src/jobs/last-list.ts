/** The list that was looked at last, for the way back from a job. */

let address = "/";

export function rememberList(params: URLSearchParams): void {
  address = params.size === 0 ? "/" : `/?${params}`;
}

/** @returns its address, with its filter and order. */
export function lastList(): string {
  return address;
}

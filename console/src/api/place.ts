/** Where the page is served: it, the API and its views are below one address, which a proxy may have chosen. */

const BASE = new URL(document.baseURI);

/** The path of the page without its last slash, such as `` or `/ai-jobs`. */
export const BASE_PATH = BASE.pathname.replace(/\/$/, "");

/** @returns the address of something that the server serves. */
export function addressOf(path: string): string {
  return new URL(path, BASE).href;
}

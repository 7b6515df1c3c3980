/** An error that the user of the demo can act on: only its message is shown. */
export class DemoError extends Error {
  override readonly name = "DemoError";
}

/** Something that the user of the demo can act on: its message is shown, and nothing else. */
export class DemoError extends Error {
  override readonly name = "DemoError";
}

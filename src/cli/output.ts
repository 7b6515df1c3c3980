/** What scripts read: standard output. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What programs read: the fields of the API's types. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** What only people read: standard error, so that a script that takes standard output gets nothing else. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

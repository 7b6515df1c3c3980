/** What scripts read: standard output. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What programs read: the fields of the API's types. */
export function printJson(value: unknown): void {
  print(escaped(JSON.stringify(value, null, 2)));
}

/** The same in one line, for one of many values. */
export function printJsonLine(value: unknown): void {
  print(escaped(JSON.stringify(value)));
}

/** The same JSON, without characters of somebody else's text that move a terminal's cursor or turn the direction of writing. */
function escaped(json: string): string {
  return json.replace(/[\u007f-\u009f\u2028\u2029\p{Bidi_Control}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** What only people read: standard error, so that a script that takes standard output gets nothing else. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

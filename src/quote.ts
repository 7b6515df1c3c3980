/** How messages quote what a client sent: enough of it to find it again, and never the megabytes that it may be. */

/** The most characters of a client's text that stand together in a message. */
const MAX_QUOTED = 100;
/** The most characters of a message: conflicts of fields inside fields quote a name for each level. */
const MAX_MESSAGE = 1_000;

/** @returns the beginning of a client's text; all of it where it is short. */
export function quote(text: string): string {
  return text.length <= MAX_QUOTED ? text : `${text.slice(0, MAX_QUOTED - 3).toWellFormed()} …`;
}

/**
 * Where GraphQL and Yoga quote a text that may have any characters: what stands before it, and what after it, where that is told
 * by its own words. Elsewhere they quote names, which have no spaces.
 */
const QUOTES: readonly { readonly before: RegExp; readonly after?: RegExp }[] = [
  { before: /^Variable "\$\w+" got invalid value /, after: /^ at "[\w.[\]]+"/ },
  { before: /^Expected value of type "[^"]+", found / },
  { before: /^[\w" ]{1,80} cannot represent [\w -]{0,40}: / },
  { before: /^Value "/, after: /^" does not exist in "/ },
  { before: /^Field "/, after: /^" is not defined by type "/ },
  { before: /^Unknown operation named "/, after: /^"\.$/ },
  { before: /^Unexpected parameter "/, after: /^" in the request body/ },
  {
    before: /^Syntax Error: (?:Unexpected|Expected [^"]{1,40}, found|Expected "[^"]{1,40}", found) (?:Block)?String "/,
  },
];
/** What no sentence of this server's has, and a client's name or number may be. */
const LONG_WORD = /[^\s"]{101,}/g;

/**
 * @param message a message of GraphQL, of Yoga or of this server.
 * @param reason the part at the end of the message that is a message by itself, if there is one.
 * @returns the message with what it quotes of the client shortened.
 */
export function withShortQuotes(message: string, reason?: string): string {
  if (message.length <= MAX_QUOTED) return message;
  if (reason !== undefined && reason !== message && message.endsWith(reason))
    return `${withShortQuotes(message.slice(0, message.length - reason.length))}${withShortQuotes(reason)}`;
  const short = withShortQuote(message).replace(LONG_WORD, (word) => quote(word));
  if (short.length <= MAX_MESSAGE) return short;
  return `${short.slice(0, MAX_MESSAGE / 2)} … ${short.slice(-MAX_MESSAGE / 2)}`.toWellFormed();
}

function withShortQuote(message: string): string {
  for (const { before, after } of QUOTES) {
    const [head] = before.exec(message) ?? [];
    if (head === undefined) continue;
    // Looked for from the end: what the client sent may have the same words in it.
    const words = message.slice(-MAX_MESSAGE);
    let end = words.length;
    for (let at = words.length - 1; after && at >= 0; at--) {
      if (!after.test(words.slice(at))) continue;
      end = at;
      break;
    }
    const from = message.length - words.length + end;
    return `${head}${quote(message.slice(head.length, Math.max(head.length, from)))}${message.slice(Math.max(head.length, from))}`;
  }
  return message;
}

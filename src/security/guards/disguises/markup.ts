// A tag ends at the next angle bracket of either kind, so nothing is read twice.
const tags = /<(\/?)([a-z][a-z0-9-]*)[^<>]*>/gi;
const blocks =
  /^(?:address|article|aside|blockquote|body|caption|dd|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|head|header|hr|html|li|main|nav|ol|option|p|pre|section|style|script|table|tbody|td|textarea|tfoot|th|thead|title|tr|ul)$/i;
const linkTargets = /\]\([^()\s]*\)/g;

/**
 * Takes a text's markup away, so that words that it parts are whole again: HTML comments, HTML tags (of those that begin a block,
 * a blank line is left) and the addresses of Markdown links.
 * @returns the text itself when it has none.
 */
export function withoutMarkup(text: string): string {
  const plain = text.includes("<") ? withoutComments(text).replace(tags, tagReplacement) : text;
  return plain.includes("](") ? plain.replace(linkTargets, "]") : plain;
}

function tagReplacement(_tag: string, _slash: string, name: string): string {
  return blocks.test(name) ? "\n\n" : name.toLowerCase() === "br" ? "\n" : "";
}

// A loop, because a regular expression would seek an end for each beginning.
function withoutComments(text: string): string {
  let plain = "";
  let from = 0;
  for (;;) {
    const start = text.indexOf("<!--", from);
    const end = start === -1 ? -1 : text.indexOf("-->", start + 4);
    if (end === -1) return plain + text.slice(from);
    plain += text.slice(from, start);
    from = end + 3;
  }
}

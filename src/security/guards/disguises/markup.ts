import { type Replaced, replaced } from "./replaced.ts";

// A tag ends at the next angle bracket of either kind, and an address at the next bracket or space, so nothing is read twice. The
// last alternative is the number of a list's item.
const markup = /<!--|<\/?([a-z][a-z0-9-]*)[^<>]*>|\]\([^()\s]*\)|^[ \t>]{0,8}\d{1,3}[.)][ \t]/gim;
const hasMarkup = /[<\d]|\]\(/;
const blocks =
  /^(?:address|article|aside|blockquote|body|caption|dd|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|head|header|hr|html|li|main|nav|ol|option|p|pre|section|style|script|table|tbody|td|textarea|tfoot|th|thead|title|tr|ul)$/i;

/**
 * Takes a text's markup away, so that words that it parts are whole again: HTML comments, HTML tags (of those that begin a block,
 * a blank line is left), the addresses of Markdown links, and the numbers of a list's items.
 */
export function withoutMarkup(text: string): Replaced {
  if (!hasMarkup.test(text)) return { text, near: "" };
  return replaced(text, replacements(text));
}

function* replacements(text: string) {
  let from = 0;
  // Once no comment ends any more, none is sought again.
  let commentsEnd = true;
  for (const { 0: match, 1: tag, index } of text.matchAll(markup)) {
    if (index < from) continue;
    if (match !== "<!--") {
      yield { index, length: match.length, by: tag === undefined ? " " : tagReplacement(tag) };
      continue;
    }
    const end: number = commentsEnd ? text.indexOf("-->", index + match.length) : -1;
    commentsEnd = end !== -1;
    if (!commentsEnd) continue;
    from = end + 3;
    yield { index, length: from - index, by: "" };
  }
}

function tagReplacement(tag: string): string {
  return blocks.test(tag) ? "\n\n" : tag.toLowerCase() === "br" ? "\n" : "";
}

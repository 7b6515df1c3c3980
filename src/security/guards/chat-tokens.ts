// Read as they are written: a model knows them by their exact characters.
const chatTokens: readonly (readonly [name: string, pattern: RegExp])[] = [
  ["message start", /<\|im_(?:start|sep)\|>\s{0,2}[a-z]/i],
  ["message start", /<\|start_header_id\|>\s{0,2}(?:system|user|assistant|ipython)\b/i],
  ["role", /<[|｜](?:system|assistant|user|developer)[|｜]>/i],
  ["instruction", /\[\/?INST\]|<<\/?SYS>>/],
  ["turn", /<start_of_turn>\s{0,2}(?:user|model|system)\b/i],
  ["role heading", /^ {0,3}#{2,4} {0,2}System ?(?:Prompt|Message|Override)?:/im],
  ["system mode tag", /<\s?(?:system|developer|god|admin)[ _-]mode\s?(?:activated|enabled|on)?\s?\/?>/i],
];

/** A token of a chat template in a text, with which its author takes the role of somebody else (section 7). */
export interface ChatToken {
  readonly name: string;
  readonly start: number;
}

/** @returns the first token of the first kind that the text has, or null. */
export function chatTokenIn(text: string): ChatToken | null {
  for (const [name, pattern] of chatTokens) {
    const start = text.search(pattern);
    if (start !== -1) return { name, start };
  }
  return null;
}

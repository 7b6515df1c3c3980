import type { EntityRefInput, LabelInput } from "@ai-job-server/sdk/client";

/** Lists that are typed one on each line. */

/** A word, or any text in JSON's quotation marks. */
const PART = /^\s*("(?:[^"\\]|\\.)*"|\S+)(?:\s+(.*))?$/su;

/** @returns the labels, and which lines are none. */
export function labelsIn(text: string): { readonly labels: readonly LabelInput[]; readonly wrong: readonly string[] } {
  const labels: LabelInput[] = [];
  const wrong: string[] = [];
  for (const line of linesIn(text)) {
    const at = line.indexOf("=");
    if (at < 1) wrong.push(line);
    else labels.push({ key: line.slice(0, at).trim(), value: line.slice(at + 1).trim() });
  }
  return { labels, wrong };
}

/** @returns the entities, each as `kind id [selector]`, and which lines are none. */
export function refsIn(text: string): { readonly refs: readonly EntityRefInput[]; readonly wrong: readonly string[] } {
  const refs: EntityRefInput[] = [];
  const wrong: string[] = [];
  for (const line of linesIn(text)) {
    const [, entityKind, rest = ""] = PART.exec(line) ?? [];
    const [, entityId, selector] = PART.exec(rest) ?? [];
    if (entityKind === undefined || entityId === undefined) wrong.push(line);
    else
      refs.push({
        entityKind: unquoted(entityKind),
        entityId: unquoted(entityId),
        ...(selector === undefined ? {} : { selector: unquoted(selector) }),
      });
  }
  return { refs, wrong };
}

interface Ref {
  readonly entityKind: string;
  readonly entityId: string;
  readonly selector: string | null;
}

/** @returns an entity as it is typed. */
export function refLine({ entityKind, entityId, selector }: Ref): string {
  const parts = [entityKind, entityId].map((part) => (/^"|\s/.test(part) ? JSON.stringify(part) : part));
  if (selector !== null) parts.push(/^["\s]|\n|\s$/.test(selector) ? JSON.stringify(selector) : selector);
  return parts.join(" ");
}

function unquoted(part: string): string {
  if (!part.startsWith('"')) return part;
  try {
    const value: unknown = JSON.parse(part);
    return typeof value === "string" ? value : part;
  } catch {
    return part;
  }
}

function linesIn(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

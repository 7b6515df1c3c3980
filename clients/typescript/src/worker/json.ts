import { CannotBeDone } from "./handler-errors.ts";
import { messageOf } from "./message.ts";

/**
 * @returns a value as JSON has it, so that a step answers the same in the run that does it as in every later one.
 * @throws CannotBeDone for what JSON cannot say, such as a BigInt or a circle: it would be the same again.
 */
export function asJson(value: unknown): unknown {
  try {
    const text = JSON.stringify(isModelResult(value) ? essenceOf(value) : value);
    return text === undefined ? null : JSON.parse(text);
  } catch (cause) {
    throw new CannotBeDone(`It is no JSON: ${messageOf(cause)}`, { cause });
  }
}

/** Whether two values are the same as JSON, whatever the order of their keys. */
export function isSameJson(one: unknown, other: unknown): boolean {
  return JSON.stringify(sorted(asJson(one))) === JSON.stringify(sorted(asJson(other)));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)]),
  );
}

/** The fields of the AI SDK's results that say what a model has said. They are getters, which JSON would leave out. */
const ESSENCE = [
  "text",
  "object",
  "reasoningText",
  "toolCalls",
  "toolResults",
  "finishReason",
  "usage",
  "totalUsage",
] as const;
type Essence = (typeof ESSENCE)[number];

/** What is stored of a step's value: of a result of the AI SDK what the model said, of everything else all. */
export type Stored<T> = T extends { readonly finishReason: unknown; readonly usage: unknown }
  ? Pick<T, Extract<keyof T, Essence>>
  : AsJson<T>;

/** What becomes of a type in JSON: a Date a text, nothing null. */
type AsJson<T> = T extends { toJSON(): infer Json }
  ? Json
  : T extends undefined
    ? null
    : T extends bigint | symbol | ((...args: never[]) => unknown)
      ? never
      : T extends object
        ? { [Key in keyof T]: AsJson<T[Key]> }
        : T;

function isModelResult(value: unknown): value is Record<Essence, unknown> {
  return (
    typeof value === "object" && value !== null && "finishReason" in value && "usage" in value && !("choices" in value)
  );
}

function essenceOf(result: Record<Essence, unknown>): object {
  return Object.fromEntries(ESSENCE.filter((name) => name in result).map((name) => [name, result[name]]));
}

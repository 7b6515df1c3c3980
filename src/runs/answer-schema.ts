import { types } from "node:util";
import { createContext, Script } from "node:vm";
import { registerSchema, unregisterSchema, type Validator, validate } from "@hyperjump/json-schema/draft-2020-12";
import { addKeyword, getKeyword } from "@hyperjump/json-schema/experimental";
import { RE2JS } from "re2js";
import { uuidv7 } from "uuidv7";
import type { JsonValue } from "../db/rows.ts";
import { quote } from "../quote.ts";

/**
 * The JSON Schemas of answers (section 13). A worker sends the schema and a person the answer, and both may be hostile: so patterns run on
 * an engine whose time is linear in the text, a reference leads nowhere outside the schema, and a check ends after 50 ms and is tried
 * three times at most.
 */

/** The largest schema, in bytes of JSON. */
export const ANSWER_SCHEMA_BYTES = 16 * 1024;
const MAX_CHECK_MS = 50;
const MAX_ATTEMPTS = 3;
const DIALECT = "https://json-schema.org/draft/2020-12/schema";
/** Keywords that would give the schema, or a part of it, another address or other rules. */
const REFUSED_KEYWORDS = ["$id", "$vocabulary"];
const REFERENCES = ["$ref", "$dynamicRef"];

/** What the validator needs of a pattern, which is a RegExp until it is replaced. */
interface Pattern {
  readonly source: string;
  test(text: string): boolean;
}

/** @throws Error where the engine does not know what the pattern uses: a look-around or a back-reference. */
function linear({ source }: Pattern): Pattern {
  const pattern = RE2JS.compile(source);
  return { source, test: (text) => pattern.matcher(text).find() };
}

/** Gives the validator's own keywords the other engine. They make a RegExp, which costs nothing as long as it is not run. */
function makePatternsLinear(): void {
  const pattern = getKeyword<Pattern>("https://json-schema.org/keyword/pattern");
  addKeyword<Pattern>({ ...pattern, compile: async (...of) => linear(await pattern.compile(...of)) });
  const properties = getKeyword<[Pattern, string][]>("https://json-schema.org/keyword/patternProperties");
  addKeyword<[Pattern, string][]>({
    ...properties,
    compile: async (...of) => (await properties.compile(...of)).map(([key, uri]) => [linear(key), uri]),
  });
}

makePatternsLinear();

/** @returns what is wrong with a schema, as a sentence; null where nothing is. */
export async function faultOfAnswerSchema(schema: JsonValue): Promise<string | null> {
  const fault = faultOfReferences(schema);
  if (fault !== null) return fault;
  try {
    return await withValidator(schema, async (check) => (canBeChecked(check) ? null : UNCHECKABLE));
  } catch (error) {
    return `This is no JSON Schema of draft 2020-12 that can be used here: ${quote(messageOf(error))}.`;
  }
}

const UNCHECKABLE =
  `By this schema nothing can be checked: it refers to itself without end, or takes longer than ${MAX_CHECK_MS} ms. ` +
  "A $ref that leads back must stand below items or properties.";

/** Whether a schema's check comes to an end, with an answer that holds nothing. */
function canBeChecked(check: Validator): boolean {
  try {
    inTime(() => check(plain(null)));
    return true;
  } catch (error) {
    if (isWithoutEnd(error)) return false;
    throw error;
  }
}

/** What is wrong with an answer, and where in it. */
export interface AnswerFault {
  readonly message: string;
  readonly path: readonly string[];
}

const UNCHECKABLE_ANSWER =
  `The question's answerSchema refers to itself without end with this answer, or takes longer than ${MAX_CHECK_MS} ms to check it: ` +
  "give a smaller one, or cancel the job.";

/** @returns what is wrong with an answer by a schema that has no fault; null where nothing is. */
export async function faultOfAnswer(schema: JsonValue, answer: JsonValue): Promise<AnswerFault | null> {
  return withValidator(schema, async (check) => {
    try {
      const result = inTime(() => check(plain(answer), "BASIC"));
      if (result.valid) return null;
      const [first] = result.errors ?? [];
      const keyword = decodeURIComponent(first?.absoluteKeywordLocation.split("#").at(-1) ?? "");
      const path = (first?.instanceLocation ?? "")
        .replace(/^#?\/?/, "")
        .split("/")
        .filter((part) => part !== "");
      return {
        message: `The answer does not meet the question's answerSchema: ${quote(keyword)}.`,
        path: path.map(unescaped),
      };
    } catch (error) {
      if (isWithoutEnd(error)) return { message: UNCHECKABLE_ANSWER, path: [] };
      throw error;
    }
  });
}

/** Has work done with the check of a schema. Schemas are registered under an address, so each use has one of its own. */
async function withValidator<T>(schema: JsonValue, work: (check: Validator) => Promise<T>): Promise<T> {
  const uri = `urn:uuid:${uuidv7()}`;
  registerSchema(plain(schema), uri, DIALECT);
  try {
    return await work(await validate(uri));
  } finally {
    unregisterSchema(uri);
  }
}

/** JSON is JSON: the libraries have types of their own for it. */
function plain(value: JsonValue): boolean | Record<string, never>;
function plain(value: unknown): unknown {
  return value;
}

const SCRIPT = new Script("work()");

/**
 * Does work that does not wait for anything. What took too long is tried again: the first time code is cold, and a busy machine gives a
 * process none of its time for longer than that.
 * @throws Error by which `isWithoutEnd`, where it takes too long each time, or goes too deep.
 */
function inTime<T>(work: () => T): T {
  for (let attempt = 1; ; attempt++) {
    try {
      return inTimeOnce(work);
    } catch (error) {
      if (!isTimeout(error) || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

function inTimeOnce<T>(work: () => T): T {
  let result: { readonly value: T } | undefined;
  const context = createContext({
    work: () => {
      result = { value: work() };
    },
  });
  SCRIPT.runInContext(context, { timeout: MAX_CHECK_MS });
  if (!result) throw new Error("The work was done.");
  return result.value;
}

function isWithoutEnd(error: unknown): boolean {
  return isTimeout(error) || isStackOverflow(error);
}

function isTimeout(error: unknown): boolean {
  // Of another realm, so no instance of this one's Error.
  return types.isNativeError(error) && "code" in error && error.code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
}

function isStackOverflow(error: unknown): boolean {
  return types.isNativeError(error) && error.name === "RangeError";
}

/** Walks with a list instead of recursion; how deep a value is was bounded when it came in. */
function faultOfReferences(schema: JsonValue): string | null {
  if (typeof schema !== "boolean" && (typeof schema !== "object" || schema === null || Array.isArray(schema)))
    return "A JSON Schema is an object, true or false.";
  const left: unknown[] = [schema];
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (typeof value !== "object" || value === null) continue;
    for (const [key, inner] of Object.entries(value)) {
      if (typeof inner === "string") {
        if (REFERENCES.includes(key) && !inner.startsWith("#"))
          return `A ${key} leads to a place in the schema itself, as #/$defs/….`;
        if (REFUSED_KEYWORDS.includes(key)) return `A schema of an answer has no ${key}.`;
        if (key === "$schema" && inner !== DIALECT) return `The only $schema that is supported is ${DIALECT}.`;
      }
      left.push(inner);
    }
  }
  return null;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function unescaped(part: string): string {
  return part.replaceAll("~1", "/").replaceAll("~0", "~");
}

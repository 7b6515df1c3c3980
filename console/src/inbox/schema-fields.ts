/** What a form asks for, as a JSON Schema says it. What it cannot make a field of is asked for as JSON; the server checks every answer. */

interface Named {
  readonly title: string | undefined;
  readonly hint: string | undefined;
}

export type Field = Named &
  (
    | { readonly kind: "text"; readonly isLong: boolean; readonly initial: string }
    | { readonly kind: "number"; readonly isWhole: boolean; readonly initial: string }
    | { readonly kind: "yesno"; readonly initial: boolean }
    | { readonly kind: "choice"; readonly values: readonly unknown[]; readonly names: readonly string[] }
    | { readonly kind: "list"; readonly of: "text" | "number" }
    | { readonly kind: "group"; readonly fields: readonly GroupField[] }
    | { readonly kind: "json" }
  );

export interface GroupField {
  readonly name: string;
  readonly isRequired: boolean;
  readonly field: Field;
}

/** From so many characters on a text gets more than one line. */
const LONG = 200;

type Schema = Readonly<Record<string, unknown>>;

/** @returns the field of a schema. */
export function fieldOf(schema: unknown): Field {
  if (!isSchema(schema)) return { kind: "json", title: undefined, hint: undefined };
  const named = { title: textOf(schema, "title"), hint: textOf(schema, "description") };
  const values = schema["enum"];
  if (Array.isArray(values) && values.length > 0)
    return { ...named, kind: "choice", values, names: values.map((value) => nameOf(value)) };
  const constants = constantsIn(schema["oneOf"]);
  if (constants) return { ...named, kind: "choice", ...constants };
  switch (schema["type"]) {
    case "string": {
      const isLong = schema["contentMediaType"] !== undefined || Number(schema["maxLength"] ?? 0) > LONG;
      return { ...named, kind: "text", isLong, initial: textOf(schema, "default") ?? "" };
    }
    case "integer":
    case "number": {
      const { default: initial } = schema;
      const isWhole = schema["type"] === "integer";
      return { ...named, kind: "number", isWhole, initial: typeof initial === "number" ? String(initial) : "" };
    }
    case "boolean":
      return { ...named, kind: "yesno", initial: schema["default"] === true };
    case "array":
      return listOf(named, schema["items"]);
    case "object":
      return groupOf(named, schema);
    default:
      return { ...named, kind: "json" };
  }
}

function listOf(named: Named, items: unknown): Field {
  const type = isSchema(items) ? items["type"] : undefined;
  if (type === "string") return { ...named, kind: "list", of: "text" };
  if (type === "number" || type === "integer") return { ...named, kind: "list", of: "number" };
  return { ...named, kind: "json" };
}

function groupOf(named: Named, schema: Schema): Field {
  const { properties, required } = schema;
  if (!isSchema(properties) || Object.keys(properties).length === 0) return { ...named, kind: "json" };
  const names = Array.isArray(required) ? required : [];
  const fields = Object.entries(properties).map(([name, property]) => ({
    name,
    isRequired: names.includes(name),
    field: fieldOf(property),
  }));
  return { ...named, kind: "group", fields };
}

/** @returns the values of `oneOf: [{ const, title }]`, the way in which a schema names the values of an enum. */
function constantsIn(
  oneOf: unknown,
): { readonly values: readonly unknown[]; readonly names: readonly string[] } | null {
  if (!Array.isArray(oneOf) || oneOf.length === 0) return null;
  const schemas = oneOf.filter((each): each is Schema => isSchema(each) && "const" in each);
  if (schemas.length < oneOf.length) return null;
  const values = schemas.map((each) => each["const"]);
  return { values, names: schemas.map((each, index) => textOf(each, "title") ?? nameOf(values[index])) };
}

function nameOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function textOf(schema: Schema, key: string): string | undefined {
  const value = schema[key];
  return typeof value === "string" ? value : undefined;
}

export function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @returns what a form begins with: texts as they are typed, by field. */
export function draftOf(field: Field): unknown {
  switch (field.kind) {
    case "text":
    case "number":
    case "yesno":
      return field.initial;
    case "choice":
      return undefined;
    case "list":
    case "json":
      return "";
    case "group":
      return Object.fromEntries(field.fields.map(({ name, field: inner }) => [name, draftOf(inner)]));
  }
}

interface Answered {
  readonly answer: unknown;
  /** What is wrong, by the place of the field. */
  readonly faults: ReadonlyMap<string, string>;
}

/** Nothing was typed into a field that need not be filled in. */
const LEFT_OUT = Symbol("left out");

/** @returns the answer that was typed, and what of it cannot be one. */
export function answerOf(field: Field, draft: unknown): Answered {
  const faults = new Map<string, string>();
  const answer = valueOf(field, draft, "", true, faults);
  return { answer: answer === LEFT_OUT ? null : answer, faults };
}

function valueOf(
  field: Field,
  draft: unknown,
  path: string,
  isRequired: boolean,
  faults: Map<string, string>,
): unknown {
  const typed = typeof draft === "string" ? draft : "";
  const missing = () => {
    if (isRequired) faults.set(path, "This is needed.");
    return LEFT_OUT;
  };
  switch (field.kind) {
    case "text":
      return typed === "" && !isRequired ? LEFT_OUT : typed;
    case "number":
      return typed.trim() === "" ? missing() : numberIn(typed, field.isWhole, path, faults);
    case "yesno":
      return draft === true;
    case "choice":
      return typeof draft === "number" ? field.values[draft] : missing();
    case "list": {
      const lines = typed.split("\n").filter((line) => line.trim() !== "");
      if (lines.length === 0 && !isRequired) return LEFT_OUT;
      return field.of === "text" ? lines : lines.map((line) => numberIn(line, false, path, faults));
    }
    case "json":
      return typed.trim() === "" ? missing() : jsonIn(typed, path, faults);
    case "group": {
      const drafts = isSchema(draft) ? draft : {};
      const entries = field.fields.flatMap(({ name, isRequired: isNeeded, field: inner }) => {
        const value = valueOf(inner, drafts[name], path === "" ? name : `${path}.${name}`, isNeeded, faults);
        return value === LEFT_OUT ? [] : [[name, value] as const];
      });
      return Object.fromEntries(entries);
    }
  }
}

function numberIn(text: string, isWhole: boolean, path: string, faults: Map<string, string>): number {
  const value = Number(text);
  if (!Number.isFinite(value)) faults.set(path, `“${text}” is not a number.`);
  else if (isWhole && !Number.isInteger(value)) faults.set(path, "It must be a whole number.");
  else if (Math.abs(value) > Number.MAX_SAFE_INTEGER) faults.set(path, "It is too large to be kept exactly.");
  return value;
}

function jsonIn(text: string, path: string, faults: Map<string, string>): unknown {
  try {
    return JSON.parse(text);
  } catch {
    faults.set(path, "This is not JSON: a text has to stand in quotation marks.");
    return undefined;
  }
}

/** A schema of zod, valibot, arktype, or any other library of the Standard Schema (standardschema.dev). */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Checked<Output> | Promise<Checked<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
    /** Some libraries can say their schema as JSON Schema. */
    readonly jsonSchema?: {
      readonly input: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown>;
    };
  };
}

type Checked<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] };

/** @returns the value as its schema gives it, or what is wrong with it, in a line. */
export async function check<Output>(
  schema: StandardSchema<Output>,
  value: unknown,
): Promise<{ readonly value: Output } | { readonly wrong: string }> {
  const checked = await schema["~standard"].validate(value);
  if (checked.issues === undefined) return { value: checked.value };
  const wrong = checked.issues.map(({ message, path = [] }) =>
    [path.map(keyOf).join("."), message].filter(Boolean).join(": "),
  );
  return { wrong: wrong.join("; ") };
}

/** @returns the schema as JSON Schema, where its library can say it. */
export function jsonSchemaOf(schema: StandardSchema): Record<string, unknown> | null {
  return schema["~standard"].jsonSchema?.input({ target: "draft-2020-12" }) ?? null;
}

function keyOf(part: unknown): string {
  return String(typeof part === "object" && part !== null && "key" in part ? part.key : part);
}

import { Choice, TextInput, Tick } from "../ui/fields.tsx";
import { type Field, isSchema } from "./schema-fields.ts";

export interface SchemaFieldProps {
  readonly field: Field;
  /** Where it is in the answer. */
  readonly path: string;
  readonly label: string;
  readonly isRequired?: boolean;
  readonly draft: unknown;
  readonly faults: ReadonlyMap<string, string>;
  readonly onChange: (draft: unknown) => void;
}

/** One value of an answer, or a group of them. */
export function SchemaField({ field, path, label, isRequired = true, draft, faults, onChange }: SchemaFieldProps) {
  const name = `${field.title ?? label}${isRequired ? "" : " (optional)"}`;
  const shared = { label: name, hint: field.hint, error: faults.get(path), isRequired };
  const typed = typeof draft === "string" ? draft : "";
  switch (field.kind) {
    case "text":
      return <TextInput {...shared} value={typed} onChange={onChange} isLong={field.isLong} isRequired={false} />;
    case "number":
      return (
        <TextInput {...shared} value={typed} onChange={onChange} inputMode={field.isWhole ? "numeric" : "decimal"} />
      );
    case "yesno":
      return (
        <Tick isSelected={draft === true} onChange={onChange}>
          {name} {field.hint && <span className="quiet">{field.hint}</span>}
        </Tick>
      );
    case "choice":
      return (
        <Choice
          {...shared}
          options={[
            { value: "", text: "Choose…" },
            ...field.names.map((text, index) => ({ value: String(index), text })),
          ]}
          value={typeof draft === "number" ? String(draft) : ""}
          onChange={(chosen) => onChange(chosen === "" ? undefined : Number(chosen))}
        />
      );
    case "list":
      return (
        <TextInput {...shared} hint={field.hint ?? "One on each line."} value={typed} onChange={onChange} isLong />
      );
    case "json":
      return <TextInput {...shared} hint={field.hint ?? "As JSON."} value={typed} onChange={onChange} isLong />;
    case "group": {
      const drafts = isSchema(draft) ? draft : {};
      return (
        <fieldset>
          <legend>{name}</legend>
          {field.hint && <p className="quiet">{field.hint}</p>}
          {field.fields.map(({ name: key, isRequired: isNeeded, field: inner }) => (
            <SchemaField
              key={key}
              field={inner}
              path={path === "" ? key : `${path}.${key}`}
              label={key}
              isRequired={isNeeded}
              draft={drafts[key]}
              faults={faults}
              onChange={(value) => onChange({ ...drafts, [key]: value })}
            />
          ))}
        </fieldset>
      );
    }
  }
}

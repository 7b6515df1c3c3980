import { type Option, Tick } from "./fields.tsx";

export interface TicksProps<Value extends string> {
  readonly label: string;
  readonly hint?: string | undefined;
  readonly error?: string | undefined;
  readonly options: readonly Option<Value>[];
  readonly values: readonly Value[];
  readonly onChange: (values: readonly Value[]) => void;
}

/** Any of a few values. */
export function Ticks<Value extends string>({ label, hint, error, options, values, onChange }: TicksProps<Value>) {
  return (
    <fieldset>
      <legend>{label}</legend>
      {hint && <p className="hint">{hint}</p>}
      {options.map(({ value, text }) => (
        <Tick
          key={value}
          isSelected={values.includes(value)}
          onChange={(isSelected) => onChange(isSelected ? [...values, value] : values.filter((each) => each !== value))}
        >
          {text}
        </Tick>
      ))}
      {error !== undefined && (
        <p className="field-error" role="alert">
          {error}
        </p>
      )}
    </fieldset>
  );
}

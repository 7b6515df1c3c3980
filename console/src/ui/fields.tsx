import { type ReactNode, useId } from "react";
import {
  CheckboxButton,
  CheckboxField,
  FieldError,
  Input,
  Label,
  Text,
  TextArea,
  TextField,
  type TextFieldProps,
} from "react-aria-components";

/** Fields of forms, each with its name, what it is for, and what is wrong with it. */

interface Described {
  readonly label: string;
  readonly hint?: string | undefined;
  readonly error?: string | undefined;
}

export interface TextInputProps extends Described, Omit<TextFieldProps, "children" | "className"> {
  /** More than one line. */
  readonly isLong?: boolean;
  readonly placeholder?: string;
}

export function TextInput({ label, hint, error, isLong = false, placeholder, ...props }: TextInputProps) {
  const look = { dir: "auto", ...(placeholder === undefined ? {} : { placeholder }) };
  return (
    // A browser lets no form go with a field that is said to be wrong; what the server found wrong it must look at again.
    <TextField
      {...props}
      isInvalid={error !== undefined}
      validationBehavior={error === undefined ? "native" : "aria"}
      className="field"
    >
      <Label>{label}</Label>
      {isLong ? <TextArea rows={4} {...look} /> : <Input {...look} />}
      {hint && (
        <Text slot="description" className="hint">
          {hint}
        </Text>
      )}
      <FieldError className="field-error">{error}</FieldError>
    </TextField>
  );
}

export interface Option<Value extends string> {
  readonly value: Value;
  readonly text: string;
}

export interface ChoiceProps<Value extends string> extends Described {
  readonly options: readonly Option<Value>[];
  readonly value: Value;
  readonly onChange: (value: Value) => void;
}

/** One of a few values: the browser's own field, which phones and screen readers know best. */
export function Choice<Value extends string>({ label, hint, error, options, value, onChange }: ChoiceProps<Value>) {
  const id = useId();
  // An empty one would take its gap, and the field would stand higher than those beside it.
  const about = error ?? hint;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        value={value}
        aria-invalid={error !== undefined}
        aria-describedby={about === undefined ? undefined : `${id}-about`}
        onChange={({ target }) => {
          const chosen = options.find((option) => option.value === target.value);
          if (chosen) onChange(chosen.value);
        }}
      >
        {options.map(({ value: each, text }) => (
          <option key={each} value={each}>
            {text}
          </option>
        ))}
      </select>
      {about !== undefined && (
        <span id={`${id}-about`} className={error === undefined ? "hint" : "field-error"}>
          {about}
        </span>
      )}
    </div>
  );
}

export interface TickProps {
  readonly isSelected: boolean;
  readonly onChange: (isSelected: boolean) => void;
  readonly children: ReactNode;
}

export function Tick({ isSelected, onChange, children }: TickProps) {
  return (
    <CheckboxField isSelected={isSelected} onChange={onChange}>
      <CheckboxButton className="tick">
        <span className="tick-box" aria-hidden="true">
          {isSelected ? "✓" : ""}
        </span>
        {children}
      </CheckboxButton>
    </CheckboxField>
  );
}

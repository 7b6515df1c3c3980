import type { ReactNode } from "react";
import {
  Select as AriaSelect,
  Button,
  CheckboxButton,
  CheckboxField,
  FieldError,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  Popover,
  SelectValue,
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

/** One of a few values. */
export function Choice<Value extends string>({ label, hint, options, value, onChange }: ChoiceProps<Value>) {
  return (
    <AriaSelect
      className="field"
      value={value}
      onChange={(key) => {
        const chosen = options.find((option) => option.value === key);
        if (chosen) onChange(chosen.value);
      }}
    >
      <Label>{label}</Label>
      <Button className="button select">
        <SelectValue />
        <span aria-hidden="true">▾</span>
      </Button>
      {hint && (
        <Text slot="description" className="hint">
          {hint}
        </Text>
      )}
      <Popover className="popover">
        <ListBox className="listbox" items={options}>
          {(option) => (
            <ListBoxItem id={option.value} textValue={option.text} className="option">
              {option.text}
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </AriaSelect>
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

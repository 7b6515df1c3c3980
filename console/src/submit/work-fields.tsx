import { Choice, TextInput } from "../ui/fields.tsx";
import { KINDS, kindWord } from "../ui/kind.ts";
import { type Draft, FIELD_NAMES } from "./draft.ts";
import { jsonFault } from "./input.ts";

export interface FieldsProps {
  readonly draft: Draft;
  readonly faults: ReadonlyMap<string, string>;
  readonly onChange: (change: Partial<Draft>) => void;
}

/** What is to be done, and with what. */
export function WorkFields({ draft, faults, onChange }: FieldsProps) {
  return (
    <fieldset>
      <legend>What is to be done</legend>
      <Choice
        label="Kind"
        options={KINDS.map((value) => ({ value, text: kindWord(value) }))}
        value={draft.jobKind}
        onChange={(jobKind) => onChange({ jobKind })}
      />
      <TextInput
        label={FIELD_NAMES.protocolId}
        hint="Tells the worker how to read the inputs, such as contract-review."
        value={draft.protocolId}
        onChange={(protocolId) => onChange({ protocolId })}
        error={faults.get("protocolId")}
        isRequired
      />
      <TextInput
        label={FIELD_NAMES.jobInputs}
        hint="JSON. Guards check every text in it."
        value={draft.jobInputs}
        onChange={(jobInputs) => onChange({ jobInputs })}
        error={jsonFault(draft.jobInputs) ?? faults.get("jobInputs")}
        isLong
        spellCheck="false"
      />
      <TextInput
        label={FIELD_NAMES.labels}
        hint="One key=value on each line."
        value={draft.labels}
        onChange={(labels) => onChange({ labels })}
        error={faults.get("labels")}
        isLong
        spellCheck="false"
      />
      <TextInput
        label={FIELD_NAMES.entityRefs}
        hint="One on each line: kind, id, and a selector if needed. Put a kind or an id with spaces in quotation marks."
        value={draft.entityRefs}
        onChange={(entityRefs) => onChange({ entityRefs })}
        error={faults.get("entityRefs")}
        isLong
        spellCheck="false"
      />
    </fieldset>
  );
}

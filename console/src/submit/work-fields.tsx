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
        hint="What the worker takes the inputs by, such as contract-review."
        value={draft.protocolId}
        onChange={(protocolId) => onChange({ protocolId })}
        error={faults.get("protocolId")}
        isRequired
      />
      <TextInput
        label={FIELD_NAMES.jobInputs}
        hint="As JSON; guards look at every text in them."
        value={draft.jobInputs}
        onChange={(jobInputs) => onChange({ jobInputs })}
        error={jsonFault(draft.jobInputs) ?? faults.get("jobInputs")}
        isLong
        spellCheck="false"
      />
      <TextInput
        label={FIELD_NAMES.labels}
        hint="key=value, one on each line."
        value={draft.labels}
        onChange={(labels) => onChange({ labels })}
        error={faults.get("labels")}
        isLong
        spellCheck="false"
      />
      <TextInput
        label={FIELD_NAMES.entityRefs}
        hint="kind id, and perhaps a selector, one on each line; a kind or an id with spaces stands in quotation marks."
        value={draft.entityRefs}
        onChange={(entityRefs) => onChange({ entityRefs })}
        error={faults.get("entityRefs")}
        isLong
        spellCheck="false"
      />
    </fieldset>
  );
}

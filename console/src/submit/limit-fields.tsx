import { useSession } from "../api/session.ts";
import { TextInput } from "../ui/fields.tsx";
import { FIELD_NAMES } from "./draft.ts";
import type { FieldsProps } from "./work-fields.tsx";

/** When it is done, how often it is tried, and what it may use. */
export function LimitFields({ draft, faults, onChange }: FieldsProps) {
  const { currency } = useSession().viewer;
  return (
    <fieldset>
      <legend>When, and how much</legend>
      <div className="columns">
        <TextInput
          label={FIELD_NAMES.priority}
          hint="Jobs with a higher priority come first."
          inputMode="text"
          value={draft.priority}
          onChange={(priority) => onChange({ priority })}
          error={faults.get("priority")}
        />
        <TextInput
          label={FIELD_NAMES.maxAttempts}
          hint="1 to 100."
          inputMode="numeric"
          value={draft.maxAttempts}
          onChange={(maxAttempts) => onChange({ maxAttempts })}
          error={faults.get("maxAttempts")}
        />
        <TextInput
          label={FIELD_NAMES.tokenBudget}
          hint="Left empty: no limit."
          inputMode="numeric"
          value={draft.tokenBudget}
          onChange={(tokenBudget) => onChange({ tokenBudget })}
          error={faults.get("tokenBudget")}
        />
        <TextInput
          label={`${FIELD_NAMES.costBudgetMicros}, in ${currency}`}
          hint="Left empty: no limit."
          inputMode="decimal"
          value={draft.costBudgetMicros}
          onChange={(costBudgetMicros) => onChange({ costBudgetMicros })}
          error={faults.get("costBudgetMicros")}
        />
        <TextInput
          label={`${FIELD_NAMES.runAfter}, by your clock`}
          hint="Left empty: at once."
          type="datetime-local"
          value={draft.runAfter}
          onChange={(runAfter) => onChange({ runAfter })}
          error={faults.get("runAfter")}
        />
        <TextInput
          label={FIELD_NAMES.idempotencyKey}
          hint="A second submit with the same key returns the same job."
          value={draft.idempotencyKey}
          onChange={(idempotencyKey) => onChange({ idempotencyKey })}
          error={faults.get("idempotencyKey")}
        />
      </div>
    </fieldset>
  );
}

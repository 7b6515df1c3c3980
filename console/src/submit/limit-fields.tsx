import { useSession } from "../api/session.ts";
import { TextInput } from "../ui/fields.tsx";
import type { FieldsProps } from "./work-fields.tsx";

/** When it is done, how often it is tried, and what it may use. */
export function LimitFields({ draft, faults, onChange }: FieldsProps) {
  const { currency } = useSession().viewer;
  return (
    <fieldset>
      <legend>When, and how much</legend>
      <div className="columns">
        <TextInput
          label="Priority"
          hint="Those with a higher one come first."
          inputMode="text"
          value={draft.priority}
          onChange={(priority) => onChange({ priority })}
          error={faults.get("priority")}
        />
        <TextInput
          label="Attempts at most"
          hint="1 to 100."
          inputMode="numeric"
          value={draft.maxAttempts}
          onChange={(maxAttempts) => onChange({ maxAttempts })}
          error={faults.get("maxAttempts")}
        />
        <TextInput
          label="Tokens at most"
          hint="Left empty: no limit."
          inputMode="numeric"
          value={draft.tokenBudget}
          onChange={(tokenBudget) => onChange({ tokenBudget })}
          error={faults.get("tokenBudget")}
        />
        <TextInput
          label={`Cost at most, in ${currency}`}
          hint="Left empty: no limit."
          inputMode="decimal"
          value={draft.costBudgetMicros}
          onChange={(costBudgetMicros) => onChange({ costBudgetMicros })}
          error={faults.get("costBudgetMicros")}
        />
        <TextInput
          label="Not before, by your clock"
          hint="Left empty: at once."
          type="datetime-local"
          value={draft.runAfter}
          onChange={(runAfter) => onChange({ runAfter })}
          error={faults.get("runAfter")}
        />
        <TextInput
          label="Idempotency key"
          hint="Whoever submits with the same one gets the same job."
          value={draft.idempotencyKey}
          onChange={(idempotencyKey) => onChange({ idempotencyKey })}
          error={faults.get("idempotencyKey")}
        />
      </div>
    </fieldset>
  );
}

import { useSearchParams } from "wouter";
import { Button } from "../ui/button.tsx";
import { Choice, TextInput } from "../ui/fields.tsx";
import { type Asked, GROUPS, MEASURES, PRESETS, type Preset, presetDays } from "./query.ts";
import { WORDS } from "./usage-table.tsx";

export interface UsageFilterProps {
  readonly asked: Asked;
  /** The labels by which the workspace counts. */
  readonly labels: readonly string[];
}

/** Which period, and how it is kept apart; all of it in the address. */
export function UsageFilter({ asked, labels }: UsageFilterProps) {
  const [, setParams] = useSearchParams();
  const set = (changes: Readonly<Record<string, string>>) =>
    setParams((before) => {
      for (const [name, value] of Object.entries(changes)) {
        if (value === "") before.delete(name);
        else before.set(name, value);
      }
      return before;
    });
  const choose = (preset: Preset) => {
    const [from, to] = presetDays(preset, new Date());
    set({ from, to });
  };
  return (
    <div className="filters">
      {/* A day that is being typed is none yet, and is left as it was. */}
      <TextInput label="From" type="date" value={asked.from} onChange={(from) => from !== "" && set({ from })} />
      <TextInput label="To, included" type="date" value={asked.to} onChange={(to) => to !== "" && set({ to })} />
      <div className="bar" role="group" aria-label="Periods">
        {PRESET_NAMES.map((preset) => (
          <Button key={preset} onPress={() => choose(preset)}>
            {PRESETS[preset]}
          </Button>
        ))}
      </div>
      <Choice
        label="By the"
        options={[
          { value: "DAY", text: "Day" },
          { value: "HOUR", text: "Hour" },
        ]}
        value={asked.interval}
        onChange={(interval) => set({ interval })}
      />
      <Choice
        label="Group by"
        options={[{ value: "", text: "Nothing" }, ...GROUPS.map((group) => ({ value: group, text: WORDS[group] }))]}
        value={asked.by ?? ""}
        onChange={(by) => set({ by })}
      />
      {asked.by === "LABEL" && labels.length > 0 && (
        <Choice
          label="Which label"
          options={labels.map((label) => ({ value: label, text: label }))}
          value={asked.label ?? labels[0] ?? ""}
          onChange={(label) => set({ label })}
        />
      )}
      <Choice
        label="Chart of"
        options={MEASURES.map((measure) => ({ value: measure, text: measure === "cost" ? "Cost" : "Tokens" }))}
        value={asked.show}
        onChange={(show) => set({ show })}
      />
    </div>
  );
}

const PRESET_NAMES = ["yesterday", "week", "month"] as const satisfies readonly Preset[];

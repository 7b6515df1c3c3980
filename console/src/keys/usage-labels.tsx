import { SetUsageLabels, successOf } from "@ai-job-server/sdk/client";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { faultsOf } from "../api/errors.ts";
import { useSession } from "../api/session.ts";
import { useAction } from "../api/use-action.ts";
import { Button } from "../ui/button.tsx";
import { TextInput } from "../ui/fields.tsx";
import { FormDialog } from "../ui/form-dialog.tsx";

/** The labels by whose values the workspace's usage is counted. */
export function UsageLabels() {
  const { workspace } = useSession().viewer;
  const [isSetting, setIsSetting] = useState(false);
  const labels = workspace?.usageLabels ?? [];
  return (
    <section className="card" aria-labelledby="usage-labels">
      <div className="title">
        <h2 id="usage-labels">Usage labels{workspace && <bdi className="quiet"> {workspace.name}</bdi>}</h2>
        <Button onPress={() => setIsSetting(true)}>Change…</Button>
      </div>
      {labels.length === 0 ? (
        <p className="quiet">None: usage is counted by no label.</p>
      ) : (
        <ul className="bar">
          {labels.map((label) => (
            <li key={label} className="label">
              <bdi>{label}</bdi>
            </li>
          ))}
        </ul>
      )}
      {isSetting && <SetLabels labels={labels} onClose={() => setIsSetting(false)} />}
    </section>
  );
}

function SetLabels({ labels, onClose }: { readonly labels: readonly string[]; readonly onClose: () => void }) {
  const { client } = useSession();
  const queries = useQueryClient();
  const action = useAction();
  const [text, setText] = useState(labels.join("\n"));
  const submit = () => {
    const keys = text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
    action.run(async () => {
      successOf((await client.request(SetUsageLabels, { input: { keys } })).setUsageLabels);
      await queries.invalidateQueries({ queryKey: ["viewer"] });
      onClose();
    });
  };
  return (
    <FormDialog
      title="Usage labels"
      verb="Count by these"
      action={action}
      fields={["keys"]}
      onSubmit={submit}
      onClose={onClose}
    >
      <TextInput
        label="Keys of labels, one on each line"
        hint="At most 5. A new label is counted from now on; one that is removed and added again starts at zero."
        value={text}
        onChange={setText}
        error={faultsOf(action.failure).get("keys")}
        isLong
        autoFocus
      />
    </FormDialog>
  );
}

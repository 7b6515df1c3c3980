import { CreateWorkspace, successOf, UpdateWorkspace, type WorkspaceFragment } from "@ai-job-server/sdk/client";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { faultsOf } from "../api/errors.ts";
import { useClient } from "../api/session.ts";
import { useAction } from "../api/use-action.ts";
import { TextInput } from "../ui/fields.tsx";
import { FormDialog } from "../ui/form-dialog.tsx";
import { wholeIn } from "../ui/numbers.ts";

export interface WorkspaceDialogProps {
  /** Null for a new one. */
  readonly workspace: WorkspaceFragment | null;
  readonly onClose: () => void;
}

/** Makes a workspace, or changes its name and for how long its jobs are kept. */
export function WorkspaceDialog({ workspace, onClose }: WorkspaceDialogProps) {
  const client = useClient();
  const queries = useQueryClient();
  const action = useAction();
  const [name, setName] = useState(workspace?.name ?? "");
  const [days, setDays] = useState(workspace?.retentionDays?.toString() ?? "");
  const retentionDays = days.trim() === "" ? null : wholeIn(days);
  const isWrong = days.trim() !== "" && retentionDays === null;
  const faults = faultsOf(action.failure);
  const save = async () => {
    if (workspace) {
      const input = { workspaceId: workspace.workspaceId, name, retentionDays };
      successOf((await client.request(UpdateWorkspace, { input })).updateWorkspace);
    } else successOf((await client.request(CreateWorkspace, { input: { name } })).createWorkspace);
    await queries.invalidateQueries({ queryKey: ["workspaces"] });
    await queries.invalidateQueries({ queryKey: ["viewer"] });
    onClose();
  };
  const submit = () => {
    if (!isWrong) action.run(save);
  };
  return (
    <FormDialog
      title={workspace ? "Change a workspace" : "Make a workspace"}
      verb={workspace ? "Change it" : "Make it"}
      action={action}
      fields={["name", "retentionDays"]}
      onSubmit={submit}
      onClose={onClose}
    >
      <TextInput label="Name" value={name} onChange={setName} error={faults.get("name")} isRequired autoFocus />
      {workspace && (
        <TextInput
          label="Keep ended jobs for, in days"
          hint="Left empty: for ever. This version removes no job yet."
          inputMode="numeric"
          value={days}
          onChange={setDays}
          error={isWrong ? "This must be a whole number." : faults.get("retentionDays")}
        />
      )}
    </FormDialog>
  );
}

import { CreateWorkspace, successOf, UpdateWorkspace, type WorkspaceFragment } from "@ai-job-server/sdk/client";
import { useQueryClient } from "@tanstack/react-query";
import { type SyntheticEvent, useState } from "react";
import { Form } from "react-aria-components";
import { faultsOf } from "../api/errors.ts";
import { useClient } from "../api/session.ts";
import { useDeed } from "../api/use-deed.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { TextInput } from "../ui/fields.tsx";
import { wholeIn } from "../ui/numbers.ts";
import { Refused } from "../ui/refused.tsx";

export interface WorkspaceDialogProps {
  /** Null for a new one. */
  readonly workspace: WorkspaceFragment | null;
  readonly onClose: () => void;
}

/** Makes a workspace, or changes its name and for how long its jobs are kept. */
export function WorkspaceDialog({ workspace, onClose }: WorkspaceDialogProps) {
  const client = useClient();
  const queries = useQueryClient();
  const { failure, isBusy, run } = useDeed();
  const [name, setName] = useState(workspace?.name ?? "");
  const [days, setDays] = useState(workspace?.retentionDays?.toString() ?? "");
  const retentionDays = days.trim() === "" ? null : wholeIn(days);
  const isWrong = days.trim() !== "" && retentionDays === null;
  const faults = faultsOf(failure);
  const save = async () => {
    if (workspace) {
      const input = { workspaceId: workspace.workspaceId, name, retentionDays };
      successOf((await client.request(UpdateWorkspace, { input })).updateWorkspace);
    } else successOf((await client.request(CreateWorkspace, { input: { name } })).createWorkspace);
    await queries.invalidateQueries({ queryKey: ["workspaces"] });
    await queries.invalidateQueries({ queryKey: ["viewer"] });
    onClose();
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!isWrong) run(save);
  };
  return (
    <Dialog title={workspace ? "Change a workspace" : "Make a workspace"} isOpen onClose={onClose}>
      <Form className="form" onSubmit={submit}>
        <TextInput label="Name" value={name} onChange={setName} error={faults.get("name")} isRequired autoFocus />
        {workspace && (
          <TextInput
            label="Ended jobs are kept for so many days"
            hint="Left empty: for ever. Nothing is removed yet."
            inputMode="numeric"
            value={days}
            onChange={setDays}
            error={isWrong ? "This must be a whole number." : faults.get("retentionDays")}
          />
        )}
        <Refused error={failure} fields={["name", "retentionDays"]} />
        <div className="bar">
          <Button look="primary" type="submit" isBusy={isBusy}>
            {workspace ? "Change it" : "Make it"}
          </Button>
          <Button onPress={onClose}>Leave it</Button>
        </div>
      </Form>
    </Dialog>
  );
}

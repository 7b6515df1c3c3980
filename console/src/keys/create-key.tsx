import { CreateApiKey, type JobKind, type Role, successOf } from "@ai-job-server/sdk/client";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { faultsOf } from "../api/errors.ts";
import { useMay, useSession } from "../api/session.ts";
import { useAction } from "../api/use-action.ts";
import { TextInput, Tick } from "../ui/fields.tsx";
import { FormDialog } from "../ui/form-dialog.tsx";
import { KINDS, kindWord } from "../ui/kind.ts";
import { Ticks } from "../ui/ticks.tsx";

const ROLES = [
  { value: "VIEWER", text: "Viewer: watches" },
  { value: "SUBMITTER", text: "Submitter: submits jobs, and sees to them" },
  { value: "WORKER", text: "Worker: a program that does jobs" },
  { value: "REVIEWER", text: "Reviewer: decides on outputs, and on what guards hold" },
  { value: "SECURITY", text: "Security: reports violations, exports evidence, erases" },
  { value: "ADMIN", text: "Admin: everything" },
] as const satisfies readonly { value: Role; text: string }[];

const KIND_OPTIONS = KINDS.map((value) => ({ value, text: kindWord(value) }));
const FIELDS = ["name", "roles", "jobKinds", "expiresAt"] as const;

export interface CreateKeyProps {
  readonly onMade: (secret: string) => void;
  readonly onClose: () => void;
}

/** Makes a key, which can do no more than the person. */
export function CreateKey({ onMade, onClose }: CreateKeyProps) {
  const { client, viewer } = useSession();
  const queries = useQueryClient();
  // Who may make workspaces is of the whole deployment.
  const mayMakeForAll = useMay("WORKSPACES_MANAGE");
  const action = useAction();
  const [name, setName] = useState("");
  const [roles, setRoles] = useState<readonly Role[]>([]);
  const [jobKinds, setJobKinds] = useState<readonly JobKind[]>([]);
  const [expires, setExpires] = useState("");
  const [allWorkspaces, setAllWorkspaces] = useState(false);
  const [hasTried, setHasTried] = useState(false);
  const faults = faultsOf(action.failure);
  const submit = () => {
    setHasTried(true);
    if (roles.length === 0) return;
    const input = {
      name,
      roles: [...roles],
      allWorkspaces,
      ...(jobKinds.length > 0 ? { jobKinds: [...jobKinds] } : {}),
      ...(expires === "" ? {} : { expiresAt: new Date(expires).toISOString() }),
    };
    action.run(async () => {
      const { secret } = successOf((await client.request(CreateApiKey, { input })).createApiKey);
      await queries.invalidateQueries({ queryKey: ["api-keys"] });
      onMade(secret);
    });
  };
  return (
    <FormDialog title="Make a key" verb="Make it" action={action} fields={FIELDS} onSubmit={submit} onClose={onClose}>
      <TextInput
        label="Name"
        hint="For people: who uses the key, and for what."
        value={name}
        onChange={setName}
        error={faults.get("name")}
        isRequired
        autoFocus
      />
      <Ticks
        label="Roles"
        options={ROLES}
        values={roles}
        onChange={setRoles}
        error={hasTried && roles.length === 0 ? "It needs one at least." : faults.get("roles")}
      />
      <Ticks
        label="Only these kinds of jobs"
        hint="None ticked: all kinds."
        options={KIND_OPTIONS}
        values={jobKinds}
        onChange={setJobKinds}
        error={faults.get("jobKinds")}
      />
      <TextInput
        label="Ends"
        hint={viewer.principal === "operator" ? "Left empty: never." : "Left empty: when yours does, or never."}
        type="datetime-local"
        value={expires}
        onChange={setExpires}
        error={faults.get("expiresAt")}
      />
      {mayMakeForAll && (
        <Tick isSelected={allWorkspaces} onChange={setAllWorkspaces}>
          For the whole deployment, and not for this workspace alone
        </Tick>
      )}
    </FormDialog>
  );
}

import { type ApiKeyFragment, RotateApiKey, successOf } from "@ai-job-server/sdk/client";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { faultsOf } from "../api/errors.ts";
import { useClient } from "../api/session.ts";
import { useAction } from "../api/use-action.ts";
import { TextInput } from "../ui/fields.tsx";
import { FormDialog } from "../ui/form-dialog.tsx";
import { wholeIn } from "../ui/numbers.ts";

const HOUR_S = "3600";

export interface RotateKeyProps {
  readonly apiKey: ApiKeyFragment;
  readonly onMade: (secret: string) => void;
  readonly onClose: () => void;
}

/** Gives a key a new secret; the old one may go on working until every program has the new one. */
export function RotateKey({ apiKey: { apiKeyId, name }, onMade, onClose }: RotateKeyProps) {
  const client = useClient();
  const queries = useQueryClient();
  const action = useAction();
  const [overlap, setOverlap] = useState(HOUR_S);
  const overlapSeconds = wholeIn(overlap);
  const submit = () => {
    if (overlapSeconds === null) return;
    action.run(async () => {
      const input = { apiKeyId, overlapSeconds };
      const { secret } = successOf((await client.request(RotateApiKey, { input })).rotateApiKey);
      await queries.invalidateQueries({ queryKey: ["api-keys"] });
      onMade(secret);
    });
  };
  return (
    <FormDialog
      title="Rotate a key"
      verb="Rotate it"
      action={action}
      fields={["overlapSeconds"]}
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        <bdi>{name}</bdi> gets a new secret.
      </p>
      <TextInput
        label="The old secret still works for, in seconds"
        hint="0: it stops working now. At most 604800, a week."
        inputMode="numeric"
        value={overlap}
        onChange={setOverlap}
        error={
          overlapSeconds === null ? "This must be a whole number." : faultsOf(action.failure).get("overlapSeconds")
        }
        autoFocus
      />
    </FormDialog>
  );
}

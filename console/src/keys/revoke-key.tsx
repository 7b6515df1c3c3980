import { type ApiKeyFragment, RevokeApiKey, successOf } from "@ai-job-server/sdk/client";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useClient } from "../api/session.ts";
import { useAction } from "../api/use-action.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Tick } from "../ui/fields.tsx";
import { FormDialog } from "../ui/form-dialog.tsx";
import { whole } from "../ui/numbers.ts";

/** Ends a key for good, and the keys that were made with it. */
export function RevokeKey({ apiKey, onClose }: { readonly apiKey: ApiKeyFragment; readonly onClose: () => void }) {
  const client = useClient();
  const queries = useQueryClient();
  const action = useAction();
  const [includeDescendants, setIncludeDescendants] = useState(false);
  const [revoked, setRevoked] = useState<number | null>(null);
  const revoke = () =>
    action.run(async () => {
      const input = { apiKeyId: apiKey.apiKeyId, includeDescendants };
      const { apiKeys } = successOf((await client.request(RevokeApiKey, { input })).revokeApiKey);
      setRevoked(apiKeys.length);
      await queries.invalidateQueries({ queryKey: ["api-keys"] });
    });
  if (revoked !== null)
    return (
      <Dialog title="Revoke a key" isOpen onClose={onClose}>
        <p role="status">
          {whole(revoked)} {revoked === 1 ? "key is" : "keys are"} revoked.
        </p>
        <div className="bar">
          <Button look="primary" onPress={onClose} autoFocus>
            Close
          </Button>
        </div>
      </Dialog>
    );
  return (
    <FormDialog title="Revoke a key" verb="Revoke it" look="danger" action={action} onSubmit={revoke} onClose={onClose}>
      <p>
        <bdi>{apiKey.name}</bdi> (<code>{apiKey.prefix}…</code>) ends for good: its requests are refused, and its
        streams end.
      </p>
      <Tick isSelected={includeDescendants} onChange={setIncludeDescendants}>
        The keys that were made with it, too, and those made with them
      </Tick>
    </FormDialog>
  );
}

import { DeleteQuota, type QuotaFragment, successOf } from "@ai-job-server/sdk/client";
import { useQueryClient } from "@tanstack/react-query";
import { useClient } from "../api/session.ts";
import { useAction } from "../api/use-action.ts";
import { FormDialog } from "../ui/form-dialog.tsx";
import { RESOURCE_WORDS } from "./amount.ts";

/** Asks once more before a quota is gone. */
export function DeleteQuotaDialog({ quota, onClose }: { readonly quota: QuotaFragment; readonly onClose: () => void }) {
  const client = useClient();
  const queries = useQueryClient();
  const action = useAction();
  const remove = () =>
    action.run(async () => {
      successOf((await client.request(DeleteQuota, { input: { quotaId: quota.quotaId } })).deleteQuota);
      await queries.invalidateQueries({ queryKey: ["quotas"] });
      onClose();
    });
  return (
    <FormDialog
      title="Delete this quota"
      verb="Delete it"
      look="danger"
      action={action}
      onSubmit={remove}
      onClose={onClose}
    >
      <p>
        {RESOURCE_WORDS[quota.resource]} of <bdi>{quota.capabilityProfileId ?? "all jobs"}</bdi> will have no limit by
        it any more.
      </p>
    </FormDialog>
  );
}

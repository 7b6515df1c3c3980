import { DeleteQuota, type QuotaFragment, successOf } from "@ai-job-server/sdk/client";
import { useQueryClient } from "@tanstack/react-query";
import { useClient } from "../api/session.ts";
import { useDeed } from "../api/use-deed.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Refused } from "../ui/refused.tsx";
import { RESOURCE_WORDS } from "./amount.ts";

/** Asks once more before a quota is gone. */
export function DeleteQuotaDialog({ quota, onClose }: { readonly quota: QuotaFragment; readonly onClose: () => void }) {
  const client = useClient();
  const queries = useQueryClient();
  const { failure, isBusy, run } = useDeed();
  const remove = () =>
    run(async () => {
      successOf((await client.request(DeleteQuota, { input: { quotaId: quota.quotaId } })).deleteQuota);
      await queries.invalidateQueries({ queryKey: ["quotas"] });
      onClose();
    });
  return (
    <Dialog title="Delete this quota" isOpen onClose={onClose}>
      <p>
        {RESOURCE_WORDS[quota.resource]} of <bdi>{quota.capabilityProfileId ?? "all jobs"}</bdi> will have no limit by
        it any more.
      </p>
      <Refused error={failure} />
      <div className="bar">
        <Button look="danger" isBusy={isBusy} onPress={remove}>
          Delete it
        </Button>
        <Button onPress={onClose}>Leave it</Button>
      </div>
    </Dialog>
  );
}

import type { AiJobFilter, BulkActionKind } from "@ai-job-server/sdk/client";
import { useState } from "react";
import { useMay } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { CAN_CANCEL, CAN_RETRY } from "../ui/states.ts";
import { BulkDialog } from "./bulk-dialog.tsx";

export interface ActOnAllProps {
  readonly filter: AiJobFilter;
  /** As long as nobody has seen what matches. */
  readonly isDisabled: boolean;
}

/** Cancels, or tries again, all jobs that match; not shown to those who may not. */
export function ActOnAll({ filter, isDisabled }: ActOnAllProps) {
  const mayOperate = useMay("JOBS_OPERATE");
  const [kind, setKind] = useState<BulkActionKind | null>(null);
  if (!mayOperate) return null;
  return (
    <>
      <Button onPress={() => setKind("CANCEL")} isDisabled={isDisabled}>
        Cancel all…
      </Button>
      <Button onPress={() => setKind("RETRY")} isDisabled={isDisabled}>
        Retry all…
      </Button>
      {kind && (
        <BulkDialog
          kind={kind}
          filter={narrowed(filter, kind)}
          isFiltered={Object.keys(filter).length > 0}
          onClose={() => setKind(null)}
        />
      )}
    </>
  );
}

/** @returns the filter, of the states alone in which something can be done: what is counted is then what will be changed. */
function narrowed({ states, ...others }: AiJobFilter, kind: BulkActionKind): AiJobFilter {
  const able = [...(kind === "CANCEL" ? CAN_CANCEL : CAN_RETRY)];
  return { ...others, states: states ? able.filter((state) => states.includes(state)) : able };
}

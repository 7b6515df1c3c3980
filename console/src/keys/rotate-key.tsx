import { type ApiKeyFragment, RotateApiKey, successOf } from "@ai-job-server/sdk/client";
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
  const { failure, isBusy, run } = useDeed();
  const [overlap, setOverlap] = useState(HOUR_S);
  const overlapSeconds = wholeIn(overlap);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (overlapSeconds === null) return;
    run(async () => {
      const input = { apiKeyId, overlapSeconds };
      const { secret } = successOf((await client.request(RotateApiKey, { input })).rotateApiKey);
      await queries.invalidateQueries({ queryKey: ["api-keys"] });
      onMade(secret);
    });
  };
  return (
    <Dialog title="Rotate a key" isOpen onClose={onClose}>
      <Form className="form" onSubmit={submit}>
        <p>
          <bdi>{name}</bdi> gets a new secret.
        </p>
        <TextInput
          label="The old one goes on working, in seconds"
          hint="0: it ends now; at most 604800, a week."
          inputMode="numeric"
          value={overlap}
          onChange={setOverlap}
          error={overlapSeconds === null ? "This must be a whole number." : faultsOf(failure).get("overlapSeconds")}
          autoFocus
        />
        <Refused error={failure} fields={["overlapSeconds"]} />
        <div className="bar">
          <Button look="primary" type="submit" isBusy={isBusy}>
            Rotate it
          </Button>
          <Button onPress={onClose}>Leave it</Button>
        </div>
      </Form>
    </Dialog>
  );
}

import type { ApiKeyFragment } from "@ai-job-server/sdk/client";
import { Button } from "../ui/button.tsx";
import { kindWord } from "../ui/kind.ts";
import { Scrolls } from "../ui/scrolls.tsx";
import { Ago, useNow } from "../ui/time.tsx";

export interface KeyTableProps {
  readonly keys: readonly ApiKeyFragment[];
  readonly onAsk: (what: "rotate" | "revoke", apiKey: ApiKeyFragment) => void;
}

/** The keys, and whether they work. */
export function KeyTable({ keys, onAsk }: KeyTableProps) {
  return (
    <Scrolls label="The list of keys">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Secret</th>
            <th scope="col">Works</th>
            <th scope="col">Roles</th>
            <th scope="col">Kinds</th>
            <th scope="col">Workspace</th>
            <th scope="col">Made</th>
            <th scope="col">Last used</th>
            <td />
          </tr>
        </thead>
        <tbody>
          {keys.map((apiKey) => (
            <Row key={apiKey.apiKeyId} apiKey={apiKey} onAsk={onAsk} />
          ))}
        </tbody>
      </table>
    </Scrolls>
  );
}

interface RowProps extends Pick<KeyTableProps, "onAsk"> {
  readonly apiKey: ApiKeyFragment;
}

function Row({ apiKey, onAsk }: RowProps) {
  const now = useNow();
  const { name, prefix, lastFour, roles, jobKinds, workspace, createdAt, createdBy, lastUsedAt } = apiKey;
  const isOver = apiKey.revokedAt !== null || hasPassed(apiKey.expiresAt, now);
  return (
    <tr>
      <th scope="row">
        <bdi>{name}</bdi>
      </th>
      <td>
        <code>
          {prefix}…{lastFour}
        </code>
      </td>
      <td>
        <Works apiKey={apiKey} now={now} />
      </td>
      <td>{roles.map((role) => role.toLowerCase()).join(", ")}</td>
      <td>{jobKinds === null ? "all" : jobKinds.map((kind) => kindWord(kind)).join(", ")}</td>
      <td>{workspace === null ? "the whole deployment" : <bdi>{workspace.name}</bdi>}</td>
      <td>
        <Ago at={createdAt} /> by <bdi>{createdBy}</bdi>
      </td>
      <td>{lastUsedAt === null ? "never" : <Ago at={lastUsedAt} />}</td>
      <td>
        {!isOver && (
          <div className="bar">
            <Button look="plain" aria-label={`Rotate ${name}`} onPress={() => onAsk("rotate", apiKey)}>
              Rotate…
            </Button>
            <Button look="plain" aria-label={`Revoke ${name}`} onPress={() => onAsk("revoke", apiKey)}>
              Revoke…
            </Button>
          </div>
        )}
      </td>
    </tr>
  );
}

function Works({
  apiKey: { revokedAt, expiresAt, overlapUntil },
  now,
}: {
  readonly apiKey: ApiKeyFragment;
  readonly now: number;
}) {
  if (revokedAt !== null)
    return (
      <span className="tone-bad">
        ✕ revoked <Ago at={revokedAt} />
      </span>
    );
  return (
    <>
      {expiresAt === null ? (
        <span className="tone-good">✓ does not expire</span>
      ) : (
        <span className={hasPassed(expiresAt, now) ? "tone-off" : "tone-good"}>
          {hasPassed(expiresAt, now) ? "– expired" : "✓ expires"} <Ago at={expiresAt} />
        </span>
      )}
      {overlapUntil !== null && !hasPassed(overlapUntil, now) && (
        <div className="quiet">
          the old secret ends <Ago at={overlapUntil} />
        </div>
      )}
    </>
  );
}

function hasPassed(at: string | null, now: number): boolean {
  return at !== null && Date.parse(at) <= now;
}

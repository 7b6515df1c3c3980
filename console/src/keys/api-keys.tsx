import { type ApiKeyFragment, ApiKeys as ApiKeysList } from "@ai-job-server/sdk/client";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useClient } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure } from "../ui/failure.tsx";
import { OperationLink } from "../ui/operation-link.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { CreateKey } from "./create-key.tsx";
import { KeyTable } from "./key-table.tsx";
import { RevokeKey } from "./revoke-key.tsx";
import { RotateKey } from "./rotate-key.tsx";
import { Secret } from "./secret.tsx";

const PAGE = 100;
const FIRST: string | undefined = undefined;

type Asked = { readonly what: "create" } | { readonly what: "rotate" | "revoke"; readonly apiKey: ApiKeyFragment };

/** The API keys that the person may see to. */
export function ApiKeys() {
  const client = useClient();
  const [asked, setAsked] = useState<Asked | null>(null);
  const [secret, setSecret] = useState<string | null>(null);
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["api-keys"],
    queryFn: async ({ signal, pageParam }) => {
      const after = pageParam === undefined ? {} : { after: pageParam };
      return (await client.request(ApiKeysList, { first: PAGE, ...after }, { signal })).apiKeys;
    },
    initialPageParam: FIRST,
    getNextPageParam: ({ pageInfo }) => (pageInfo.hasNextPage ? (pageInfo.endCursor ?? undefined) : undefined),
  });
  const keys = data?.pages.flatMap(({ nodes }) => nodes) ?? [];
  const close = () => setAsked(null);
  const show = (shown: string) => {
    close();
    setSecret(shown);
  };
  return (
    <section className="card" aria-labelledby="api-keys">
      <div className="title">
        <h2 id="api-keys">API keys</h2>
        <OperationLink operation={ApiKeysList} variables={{ first: PAGE }} />
        <Button onPress={() => setAsked({ what: "create" })}>Make a key…</Button>
      </div>
      {error && <Failure error={error} retry={() => void refetch()} />}
      {!data && !error && <Waiting what="The list of keys" />}
      {data && keys.length === 0 && (
        <Empty command="keys create NAME --role SUBMITTER">
          There is no key yet. The button above makes one, as does this:
        </Empty>
      )}
      {keys.length > 0 && <KeyTable keys={keys} onAsk={(what, apiKey) => setAsked({ what, apiKey })} />}
      {hasNextPage && (
        <Button isDisabled={isFetchingNextPage} onPress={() => void fetchNextPage()}>
          More keys
        </Button>
      )}
      {asked?.what === "create" && <CreateKey onMade={show} onClose={close} />}
      {asked?.what === "rotate" && <RotateKey apiKey={asked.apiKey} onMade={show} onClose={close} />}
      {asked?.what === "revoke" && <RevokeKey apiKey={asked.apiKey} onClose={close} />}
      {secret !== null && <Secret secret={secret} onClose={() => setSecret(null)} />}
    </section>
  );
}

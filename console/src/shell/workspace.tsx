import { Workspaces } from "@ai-job-server/sdk/client";
import { useQuery } from "@tanstack/react-query";
import { useSession } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/empty.tsx";
import { Failure } from "../ui/failure.tsx";
import { Waiting } from "../ui/waiting.tsx";

/** Who belongs to the whole deployment says which workspace to look at. */
export function ChooseWorkspace() {
  const { client, chooseWorkspace, signOut } = useSession();
  const { data, error, refetch } = useQuery({
    queryKey: ["workspaces"],
    queryFn: ({ signal }) => client.request(Workspaces, { first: 100 }, { signal }),
  });
  const found = data?.workspaces.nodes ?? [];
  return (
    <main className="alone">
      <h1>Which workspace?</h1>
      {error && <Failure error={error} retry={() => void refetch()} />}
      {!data && !error && <Waiting what="The list of workspaces" />}
      {data && found.length === 0 && <Empty command="workspaces create NAME">There is none yet. This makes one:</Empty>}
      <ul className="choices">
        {found.map(({ workspaceId, name }) => (
          <li key={workspaceId}>
            <Button onPress={() => chooseWorkspace(workspaceId)}>
              <bdi>{name}</bdi>
            </Button>
          </li>
        ))}
      </ul>
      <Button look="plain" onPress={signOut}>
        Sign out
      </Button>
    </main>
  );
}

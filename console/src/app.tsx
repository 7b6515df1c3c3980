import { JobClientProvider } from "@ai-job-server/sdk/react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useMemo, useState } from "react";
import { I18nProvider } from "react-aria-components";
import { Router } from "wouter";
import { clientIn, keepWorkspace } from "./api/client.ts";
import { codeOf } from "./api/errors.ts";
import { ConsoleViewer } from "./api/generated.ts";
import { addressOf, BASE_PATH } from "./api/place.ts";
import { endSession, type Session, SessionContext } from "./api/session.ts";
import { earlyClient, earlyViewer, earlyWorkspace } from "./early.ts";
import { Shell } from "./shell/shell.tsx";
import { SignIn } from "./shell/sign-in.tsx";
import { ChooseWorkspace } from "./shell/workspace.tsx";
import { Failure } from "./ui/failure.tsx";
import { Waiting } from "./ui/waiting.tsx";

/** The console: who uses it, in which workspace, and then its views. */
export function App() {
  const queries = useQueryClient();
  const [workspaceId, setWorkspaceId] = useState(earlyWorkspace);
  const client = useMemo(() => (workspaceId === earlyWorkspace ? earlyClient : clientIn(workspaceId)), [workspaceId]);
  const viewer = useQuery({
    queryKey: ["viewer", workspaceId],
    queryFn: ({ signal }) => earlyViewer.take() ?? client.request(ConsoleViewer, {}, { signal }),
  });
  const chooseWorkspace = useCallback(
    (chosen: string | null) => {
      client.close();
      queries.removeQueries();
      keepWorkspace(chosen);
      setWorkspaceId(chosen);
    },
    [client, queries],
  );
  const signOut = useCallback(() => {
    void endSession().then(() => {
      chooseWorkspace(null);
      // Nothing that was shown to one person is there for the next.
      location.assign(addressOf(""));
    });
  }, [chooseWorkspace]);
  const session = useMemo<Session | null>(
    () => (viewer.data ? { client, viewer: viewer.data.viewer, signOut, chooseWorkspace } : null),
    [client, viewer.data, signOut, chooseWorkspace],
  );

  if (codeOf(viewer.error) === "UNAUTHENTICATED") return <SignIn onSignedIn={() => void viewer.refetch()} />;
  if (viewer.error && !session) return <Failure error={viewer.error} retry={() => void viewer.refetch()} />;
  if (!session) return <Waiting what="The console" />;
  const needsWorkspace = session.viewer.workspace === null && session.viewer.principal !== "anonymous";
  return (
    <I18nProvider locale={navigator.language}>
      <SessionContext value={session}>
        <JobClientProvider client={client}>
          <Router base={BASE_PATH}>{needsWorkspace ? <ChooseWorkspace /> : <Shell />}</Router>
        </JobClientProvider>
      </SessionContext>
    </I18nProvider>
  );
}

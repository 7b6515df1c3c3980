import { useMay } from "../api/session.ts";
import { Forbidden } from "../ui/failure.tsx";
import { ApiKeys } from "./api-keys.tsx";
import { UsageLabels } from "./usage-labels.tsx";
import { Workspaces } from "./workspaces.tsx";

/** Who may do what, and in which workspaces. */
export default function Keys() {
  const mayManageKeys = useMay("KEYS_MANAGE");
  const mayManageWorkspaces = useMay("WORKSPACES_MANAGE");
  const maySetLabels = useMay("QUOTAS_MANAGE");
  return (
    <>
      <h1>Keys and workspaces</h1>
      {mayManageKeys ? (
        <ApiKeys />
      ) : (
        <Forbidden why="To make and revoke keys, a key needs the role ADMIN (KEYS_MANAGE)." />
      )}
      {maySetLabels && <UsageLabels />}
      {mayManageWorkspaces ? (
        <Workspaces />
      ) : (
        <Forbidden why="Workspaces are made by the operator, or with a key of the whole deployment of the role ADMIN (WORKSPACES_MANAGE)." />
      )}
    </>
  );
}

import type { Workspace as Row } from "../../db/generated/client/client.ts";
import { findWorkspaces } from "../../identity/workspaces.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder } from "../builder.ts";
import type { Viewer } from "../viewer.ts";

export const Workspace = builder.node(builder.objectRef<Row>("Workspace"), {
  extensions: { permission: "ANY_PRINCIPAL" },
  id: { resolve: ({ workspaceId }) => workspaceId, description: "Global id (Relay)." },
  loadManyWithoutCache: async (ids, { engine, viewer }) => {
    const found = await findWorkspaces(
      engine.prisma,
      ids.map(uuidOrNil).filter((id) => maySee(viewer, id)),
    );
    return ids.map((id) => found.find(({ workspaceId }) => workspaceId === id.toLowerCase()) ?? null);
  },
  description: "A workspace: jobs, quotas and keys of one are never seen from another (section 11).",
  fields: (t) => ({
    workspaceId: t.expose("workspaceId", {
      type: "UUID",
      description: "The workspace's id, as the header x-workspace-id names it.",
    }),
    name: t.string({
      description: "For people; the id where the workspace came with its first job and was not named.",
      resolve: ({ name, workspaceId }) => name ?? workspaceId,
    }),
    createdAt: t.expose("createdAt", { type: "DateTime", description: "When it was made." }),
    retentionDays: t.exposeInt("retentionDays", {
      nullable: true,
      description:
        "How many days the jobs of an ended tree are kept; null to keep them. Nothing is removed yet (section 12).",
    }),
    usageLabels: t.stringList({
      description: "The keys of labels by which aiJobUsage can group, as setUsageLabels declared them (section 14).",
      resolve: async ({ workspaceId }, _args, { reads }) =>
        (await reads.usageLabelsOf({ workspaceId, id: workspaceId })).map(({ key }) => key),
    }),
  }),
});

function maySee({ principal, permissions }: Viewer, workspaceId: string): boolean {
  return principal.workspaceId === null ? permissions.has("WORKSPACES_MANAGE") : principal.workspaceId === workspaceId;
}

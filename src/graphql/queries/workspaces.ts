import { z } from "zod";
import type { Workspace as Row } from "../../db/generated/client/client.ts";
import { listWorkspaces } from "../../identity/workspaces.ts";
import { builder, pageComplexity } from "../builder.ts";
import { type KeyCodec, toPage, toSlice } from "../connection.ts";
import { Workspace } from "../types/workspace.ts";

const byId: KeyCodec<Row, string> = {
  keyOf: ({ workspaceId }) => [workspaceId],
  schema: z.tuple([z.guid()]).transform(([id]) => id),
};

builder.queryField("workspaces", (t) =>
  t.connection(
    {
      permission: "WORKSPACES_MANAGE",
      type: Workspace,
      description: "All workspaces, by id: newest first where the server gave the ids.",
      complexity: pageComplexity,
      resolve: async (_root, args, { engine }) => {
        const slice = toSlice(args, byId);
        return toPage(await listWorkspaces(engine.prisma, slice), slice, byId);
      },
    },
    { name: "WorkspaceConnection", description: "A page of workspaces." },
    { name: "WorkspaceEdge", description: "A workspace and its position in the list." },
  ),
);

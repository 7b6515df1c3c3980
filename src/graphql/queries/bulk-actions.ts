import { z } from "zod";
import type { BulkAction as Action } from "../../db/generated/client/client.ts";
import { within } from "../../db/scope.ts";
import { listActions } from "../../jobs/bulk/items.ts";
import { builder, pageComplexity } from "../builder.ts";
import { type KeyCodec, toPage, toSlice } from "../connection.ts";
import { BulkAction } from "../types/bulk-action.ts";

const byAge: KeyCodec<Action, string> = {
  keyOf: ({ id }) => [id],
  schema: z.tuple([z.uuid()]).transform(([id]) => id),
};

builder.queryField("bulkActions", (t) =>
  t.connection(
    {
      permission: "JOBS_READ",
      type: BulkAction,
      description: "The workspace's bulk actions, newest first.",
      complexity: pageComplexity,
      resolve: async (_root, args, { engine, viewer: { workspaceId } }) => {
        const slice = toSlice(args, byAge);
        return toPage(await within([workspaceId], () => listActions(engine.prisma, workspaceId, slice)), slice, byAge);
      },
    },
    { name: "BulkActionConnection", description: "A page of bulk actions." },
    { name: "BulkActionEdge", description: "A bulk action and its position in the list." },
  ),
);

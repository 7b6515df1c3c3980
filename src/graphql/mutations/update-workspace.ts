import { z } from "zod";
import type { Workspace as Row } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type UpdateWorkspace, updateWorkspace } from "../../identity/workspaces.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { Workspace } from "../types/workspace.ts";

const UpdateWorkspaceInput = builder.inputType("UpdateWorkspaceInput", {
  description: "What to change of a workspace. What is left out stays as it is.",
  fields: (t) => ({
    workspaceId: t.field({ type: "UUID", required: true, description: "The workspace's id." }),
    name: t.string({ validate: boundedText(200).nullish(), description: "For people; 1 to 200 characters." }),
    retentionDays: t.int({
      validate: z.int().min(1).max(36_500).nullish(),
      description: "How many days the jobs of an ended tree are kept, 1 to 36,500; null to keep them.",
    }),
  }),
});

const UpdateWorkspacePayload = builder.objectRef<{ readonly workspace: Row }>("UpdateWorkspacePayload").implement({
  description: "The workspace is changed.",
  isTypeOf: isPayloadWith("workspace"),
  fields: (t) => ({
    workspace: t.expose("workspace", { type: Workspace, description: "The workspace as it is now." }),
  }),
});

builder.mutationField("updateWorkspace", (t) =>
  t.errorUnionField({
    permission: "WORKSPACES_MANAGE",
    description: "Changes the name of a workspace, or for how long its jobs are kept (sections 11 and 12).",
    types: [
      UpdateWorkspacePayload,
      ...errorTypes<ErrorsOf<typeof updateWorkspace>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of updateWorkspace." },
    args: { input: t.arg({ type: UpdateWorkspaceInput, required: true, description: "What to change." }) },
    resolve: async (_root, { input }, { engine }) => {
      const { workspaceId, name, retentionDays } = input;
      const change = exact<UpdateWorkspace>()({ workspaceId, name: name ?? undefined, retentionDays });
      return { workspace: orThrow(await updateWorkspace(engine, change)) };
    },
  }),
);

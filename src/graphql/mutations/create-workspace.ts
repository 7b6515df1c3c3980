import type { Workspace as Row } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type CreateWorkspace, createWorkspace } from "../../identity/workspaces.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { Workspace } from "../types/workspace.ts";

const CreateWorkspaceInput = builder.inputType("CreateWorkspaceInput", {
  description: "A workspace to make.",
  fields: (t) => ({
    name: t.string({ required: true, validate: boundedText(200), description: "For people; 1 to 200 characters." }),
    workspaceId: t.field({
      type: "UUID",
      description: "Its id, where it has one already; if left out, the server gives one. The same may be sent again.",
    }),
  }),
});

const CreateWorkspacePayload = builder.objectRef<{ readonly workspace: Row }>("CreateWorkspacePayload").implement({
  description: "The workspace is there.",
  isTypeOf: isPayloadWith("workspace"),
  fields: (t) => ({ workspace: t.expose("workspace", { type: Workspace, description: "The workspace." }) }),
});

builder.mutationField("createWorkspace", (t) =>
  t.errorUnionField({
    permission: "WORKSPACES_MANAGE",
    description: "Makes a workspace (section 11).",
    types: [
      CreateWorkspacePayload,
      ...errorTypes<ErrorsOf<typeof createWorkspace>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of createWorkspace." },
    args: { input: t.arg({ type: CreateWorkspaceInput, required: true, description: "The workspace." }) },
    resolve: async (_root, { input }, { engine }) => {
      const workspace = exact<CreateWorkspace>()({ ...input, workspaceId: input.workspaceId ?? null });
      return { workspace: orThrow(await createWorkspace(engine, workspace)) };
    },
  }),
);

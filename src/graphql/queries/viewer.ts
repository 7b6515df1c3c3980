import { findApiKeys } from "../../identity/keys.ts";
import { builder } from "../builder.ts";
import { PermissionEnum, RoleEnum } from "../enums.ts";
import { ApiKey } from "../types/api-key.ts";
import { workspaceOf } from "../types/relations.ts";
import { Workspace } from "../types/workspace.ts";
import type { Viewer as Caller } from "../viewer.ts";

const Viewer = builder.objectRef<Caller>("Viewer").implement({
  description: "Who asks. workspace is null for a principal of the whole deployment that picked none (section 11).",
  fields: (t) => ({
    principal: t.string({
      description: "The name that events and logs give the caller, such as `key:<id>`, `operator` or `anonymous`.",
      resolve: ({ principal }) => principal.name,
    }),
    workspace: t.field({
      type: Workspace,
      nullable: true,
      description: "The workspace that the request is in.",
      resolve: ({ chosenWorkspaceId }, _args, context) => workspaceOf(context, chosenWorkspaceId),
    }),
    roles: t.field({
      type: [RoleEnum],
      description: "The caller's roles.",
      resolve: ({ principal }) => [...principal.roles],
    }),
    permissions: t.field({
      type: [PermissionEnum],
      description: "What the caller may do.",
      resolve: ({ permissions }) => [...permissions],
    }),
    expiresAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When the caller's credential ends by itself; null if it does not.",
      resolve: ({ principal }) => principal.expiresAt,
    }),
    currency: t.string({
      description:
        "The currency of all money, in three letters (ISO 4217): the deployment's COST_CURRENCY (section 14).",
      resolve: (_caller, _args, { engine }) => engine.costCurrency,
    }),
    apiKey: t.field({
      type: ApiKey,
      nullable: true,
      description: "The API key that the caller is; null if it is none.",
      resolve: async ({ principal }, _args, { engine }) => {
        const [key = null] =
          principal.apiKeyId === null ? [] : await findApiKeys(engine.prisma, principal, [principal.apiKeyId]);
        return key;
      },
    }),
  }),
});

builder.queryField("viewer", (t) =>
  t.field({
    permission: "ANY_PRINCIPAL",
    type: Viewer,
    description: "Who asks, and what it may do.",
    resolve: (_root, _args, { viewer }) => viewer,
  }),
);

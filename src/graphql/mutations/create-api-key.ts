import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type CreateApiKey, createApiKey, type KeyWithSecret } from "../../identity/keys.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { builder } from "../builder.ts";
import { JobKindEnum, RoleEnum } from "../enums.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { ApiKey } from "../types/api-key.ts";

const CreateApiKeyInput = builder.inputType("CreateApiKeyInput", {
  description: "A key to make, which can do no more than its maker: not by permissions, kinds, workspace or lifetime.",
  fields: (t) => ({
    name: t.string({ required: true, validate: boundedText(200), description: "For people; 1 to 200 characters." }),
    roles: t.field({
      type: [RoleEnum],
      required: true,
      validate: z.array(z.unknown()).min(1).max(6),
      description: "What it is there for; 1 to 6 roles, whose permissions it has together.",
    }),
    jobKinds: t.field({
      type: [JobKindEnum],
      validate: z.array(z.unknown()).min(1).max(100).nullish(),
      description: "The kinds of jobs that it may submit and claim; if left out, all.",
    }),
    expiresAt: t.field({
      type: "DateTime",
      description: "When it ends by itself; if left out, when its maker does, or never.",
    }),
    allWorkspaces: t.boolean({
      required: true,
      defaultValue: false,
      description: "Whether it is a key of the whole deployment, and not of the workspace that the request is in.",
    }),
  }),
});

const CreateApiKeyPayload = builder.objectRef<KeyWithSecret>("CreateApiKeyPayload").implement({
  description: "The key is made.",
  isTypeOf: isPayloadWith("secret"),
  fields: (t) => ({
    apiKey: t.expose("apiKey", { type: ApiKey, description: "The key." }),
    secret: t.exposeString("secret", {
      description: "What proves the key. It is shown this once: only its hash is stored.",
    }),
  }),
});

builder.mutationField("createApiKey", (t) =>
  t.errorUnionField({
    permission: "KEYS_MANAGE",
    description: "Makes an API key (section 11).",
    types: [
      CreateApiKeyPayload,
      ...errorTypes<ErrorsOf<typeof createApiKey>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.ForbiddenError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of createApiKey." },
    args: { input: t.arg({ type: CreateApiKeyInput, required: true, description: "The key." }) },
    resolve: async (_root, { input }, { engine, viewer }) => {
      const { allWorkspaces, jobKinds = null, expiresAt = null, roles, ...rest } = input;
      const key = exact<CreateApiKey>()({
        ...rest,
        roles: [...new Set(roles)],
        jobKinds: jobKinds && [...new Set(jobKinds)],
        expiresAt,
        workspaceId: allWorkspaces ? null : viewer.workspaceId,
      });
      return orThrow(await createApiKey(engine, viewer.principal, key));
    },
  }),
);

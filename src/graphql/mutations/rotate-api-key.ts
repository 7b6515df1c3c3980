import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { MAX_OVERLAP_SECONDS } from "../../identity/api-key.ts";
import { type KeyWithSecret, type RotateApiKey, rotateApiKey } from "../../identity/keys.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { ApiKey } from "../types/api-key.ts";

const RotateApiKeyInput = builder.inputType("RotateApiKeyInput", {
  description: "Which key gets a new secret.",
  fields: (t) => ({
    apiKeyId: t.field({ type: "UUID", required: true, description: "The key's id." }),
    overlapSeconds: t.int({
      required: true,
      defaultValue: 0,
      validate: z.int().min(0).max(MAX_OVERLAP_SECONDS),
      description: "For how many seconds the old secret goes on working, 0 to 604,800 (a week).",
    }),
  }),
});

const RotateApiKeyPayload = builder.objectRef<KeyWithSecret>("RotateApiKeyPayload").implement({
  description: "The key has a new secret.",
  isTypeOf: isPayloadWith("secret"),
  fields: (t) => ({
    apiKey: t.expose("apiKey", { type: ApiKey, description: "The key." }),
    secret: t.exposeString("secret", {
      description: "What proves the key from now on. It is shown this once: only its hash is stored.",
    }),
  }),
});

builder.mutationField("rotateApiKey", (t) =>
  t.errorUnionField({
    permission: "KEYS_MANAGE",
    description:
      "Gives a key a new secret. The old one ends now, or after the overlap; one from before that ends now. It takes at least what " +
      "making the key would (section 11).",
    types: [
      RotateApiKeyPayload,
      ...errorTypes<ErrorsOf<typeof rotateApiKey>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.ForbiddenError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of rotateApiKey." },
    args: { input: t.arg({ type: RotateApiKeyInput, required: true, description: "Which key." }) },
    resolve: async (_root, { input }, { engine, viewer: { principal } }) =>
      orThrow(await rotateApiKey(engine, principal, exact<RotateApiKey>()(input))),
  }),
);

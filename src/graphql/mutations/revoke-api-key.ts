import type { ApiKey as Row } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type RevokeApiKey, revokeApiKey } from "../../identity/keys.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { ApiKey } from "../types/api-key.ts";

const RevokeApiKeyInput = builder.inputType("RevokeApiKeyInput", {
  description: "Which key to end.",
  fields: (t) => ({
    apiKeyId: t.field({ type: "UUID", required: true, description: "The key's id." }),
    includeDescendants: t.boolean({
      required: true,
      defaultValue: false,
      description: "Whether to end the keys that it made, too, and those that they made.",
    }),
  }),
});

const RevokeApiKeyPayload = builder.objectRef<{ readonly apiKeys: readonly Row[] }>("RevokeApiKeyPayload").implement({
  description: "The keys are revoked, for good.",
  isTypeOf: isPayloadWith("apiKeys"),
  fields: (t) => ({
    apiKeys: t.field({
      type: [ApiKey],
      description: "The keys that are revoked: the one that was named, and its descendants where they were asked for.",
      resolve: ({ apiKeys }) => [...apiKeys],
    }),
  }),
});

builder.mutationField("revokeApiKey", (t) =>
  t.errorUnionField({
    permission: "KEYS_MANAGE",
    description:
      "Ends a key for good. Its requests are refused, and its streams and sockets end, within a second on this server and two on " +
      "every other one. Safe to repeat (section 11).",
    types: [
      RevokeApiKeyPayload,
      ...errorTypes<ErrorsOf<typeof revokeApiKey>>()(errors.NotFoundError, errors.TryAgainError),
    ],
    union: { description: "The result of revokeApiKey." },
    args: { input: t.arg({ type: RevokeApiKeyInput, required: true, description: "Which key." }) },
    resolve: async (_root, { input }, { engine, viewer: { principal } }) => ({
      apiKeys: orThrow(await revokeApiKey(engine, principal, exact<RevokeApiKey>()(input))),
    }),
  }),
);

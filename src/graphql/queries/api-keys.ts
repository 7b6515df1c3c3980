import { z } from "zod";
import type { ApiKey as Row } from "../../db/generated/client/client.ts";
import { listApiKeys } from "../../identity/keys.ts";
import { builder, pageComplexity } from "../builder.ts";
import { type KeyCodec, toPage, toSlice } from "../connection.ts";
import { ApiKey } from "../types/api-key.ts";

const byAge: KeyCodec<Row, string> = {
  keyOf: ({ apiKeyId }) => [apiKeyId],
  schema: z.tuple([z.uuid()]).transform(([id]) => id),
};

builder.queryField("apiKeys", (t) =>
  t.connection(
    {
      permission: "KEYS_MANAGE",
      type: ApiKey,
      description:
        "The API keys of the caller's workspace, newest first, ended ones included; for a principal of the whole deployment, all.",
      complexity: pageComplexity,
      resolve: async (_root, args, { engine, viewer: { principal } }) => {
        const slice = toSlice(args, byAge);
        return toPage(await listApiKeys(engine.prisma, principal, slice), slice, byAge);
      },
    },
    { name: "ApiKeyConnection", description: "A page of API keys." },
    { name: "ApiKeyEdge", description: "An API key and its position in the list." },
  ),
);

import type { ApiKey as Row } from "../../db/generated/client/client.ts";
import { findApiKeys, kindsOf } from "../../identity/keys.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder } from "../builder.ts";
import { JobKindEnum, RoleEnum } from "../enums.ts";
import { workspaceOf } from "./relations.ts";
import { Workspace } from "./workspace.ts";

export const ApiKey = builder.node(builder.objectRef<Row>("ApiKey"), {
  extensions: { permission: "KEYS_MANAGE" },
  id: { resolve: ({ apiKeyId }) => apiKeyId, description: "Global id (Relay)." },
  loadManyWithoutCache: async (ids, { engine, viewer: { principal } }) => {
    const found = await findApiKeys(engine.prisma, principal, ids.map(uuidOrNil));
    return ids.map((id) => found.find(({ apiKeyId }) => apiKeyId === id.toLowerCase()) ?? null);
  },
  description:
    "An API key: what a program proves itself with, as `authorization: Bearer …`. Its secret is shown once, when it is made or " +
    "rotated (section 11).",
  fields: (t) => ({
    apiKeyId: t.expose("apiKeyId", { type: "UUID", description: "The key's id: a UUIDv7." }),
    name: t.exposeString("name", { description: "For people." }),
    prefix: t.exposeString("prefix", {
      description: "The first 8 characters of the secret, by which people tell keys apart.",
    }),
    lastFour: t.exposeString("lastFour", { description: "The last 4 characters of the secret." }),
    workspace: t.field({
      type: Workspace,
      nullable: true,
      description: "The workspace that it is of; null for a key of the whole deployment.",
      resolve: ({ workspaceId }, _args, context) => workspaceOf(context, workspaceId),
    }),
    roles: t.expose("roles", {
      type: [RoleEnum],
      description: "What it is there for; together they are its permissions.",
    }),
    jobKinds: t.field({
      type: [JobKindEnum],
      nullable: true,
      description: "The kinds of jobs that it may submit and claim; null for all.",
      resolve: (key) => {
        const kinds = kindsOf(key);
        return kinds && [...kinds];
      },
    }),
    createdAt: t.expose("createdAt", { type: "DateTime", description: "When it was made." }),
    createdBy: t.exposeString("createdBy", {
      description: "The principal that made it, such as `operator` or `key:<id>`.",
    }),
    expiresAt: t.expose("expiresAt", {
      type: "DateTime",
      nullable: true,
      description: "When it ends by itself; null if it does not.",
    }),
    revokedAt: t.expose("revokedAt", {
      type: "DateTime",
      nullable: true,
      description: "When it was revoked; null if it was not.",
    }),
    lastUsedAt: t.expose("lastUsedAt", {
      type: "DateTime",
      nullable: true,
      description: "When it was last used, to the minute; null if never.",
    }),
    overlapUntil: t.expose("overlapUntil", {
      type: "DateTime",
      nullable: true,
      description: "Until when the secret from before the last rotation works; null if there is none.",
    }),
  }),
});

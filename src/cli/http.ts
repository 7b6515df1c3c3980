import { z } from "zod";
import { WORKSPACE_HEADER } from "../http/viewer.ts";
import {
  apiKeyView,
  type Backend,
  CommandError,
  keyWithSecretView,
  PAGE_ROWS,
  type WorkspaceView,
  workspaceView,
} from "./backend.ts";
import { createSender, type Server } from "./send.ts";

/** The commands over HTTP: any server, with a key that may do it. */

const WORKSPACE = "workspaceId name createdAt retentionDays";
const KEY = `apiKeyId name prefix lastFour workspace { workspaceId name } roles jobKinds createdAt createdBy
  expiresAt revokedAt lastUsedAt overlapUntil`;
const REFUSED = "... on Error { message }";

const CREATE_KEY = `mutation CliCreateApiKey($input: CreateApiKeyInput!) { result: createApiKey(input: $input) {
  ... on CreateApiKeyPayload { apiKey { ${KEY} } secret } ${REFUSED} } }`;
const ROTATE_KEY = `mutation CliRotateApiKey($input: RotateApiKeyInput!) { result: rotateApiKey(input: $input) {
  ... on RotateApiKeyPayload { apiKey { ${KEY} } secret } ${REFUSED} } }`;
const REVOKE_KEY = `mutation CliRevokeApiKey($input: RevokeApiKeyInput!) { result: revokeApiKey(input: $input) {
  ... on RevokeApiKeyPayload { apiKeys { ${KEY} } } ${REFUSED} } }`;
const CREATE_WORKSPACE = `mutation CliCreateWorkspace($input: CreateWorkspaceInput!) {
  result: createWorkspace(input: $input) { ... on CreateWorkspacePayload { workspace { ${WORKSPACE} } } ${REFUSED} } }`;
const LIST_KEYS = listOf("CliApiKeys", "apiKeys", KEY);
const LIST_WORKSPACES = listOf("CliWorkspaces", "workspaces", WORKSPACE);

function listOf(operation: string, field: string, fields: string): string {
  return `query ${operation}($first: Int!, $after: String) { result: ${field}(first: $first, after: $after) {
    nodes { ${fields} } pageInfo { hasNextPage endCursor } } }`;
}

const refused = z.object({ message: z.string() });

/** @param workspaceId the workspace that the commands are in; undefined for the key's own. */
export function openHttp(server: Server, workspaceId: string | undefined): Backend {
  const send = createSender(server, workspaceId === undefined ? {} : { [WORKSPACE_HEADER]: workspaceId });

  async function change<Payload>(query: string, input: object, payload: z.ZodType<Payload>): Promise<Payload> {
    const done = z.object({ result: z.union([payload.transform((value) => ({ value })), refused]) });
    const { result } = await send(query, { input }, done);
    if ("message" in result) throw new CommandError(result.message);
    return result.value;
  }

  async function list<Row>(query: string, row: z.ZodType<Row>): Promise<readonly Row[]> {
    const pageInfo = z.object({ hasNextPage: z.boolean(), endCursor: z.string().nullable() });
    const page = z.object({ result: z.object({ nodes: z.array(row), pageInfo }) });
    const rows: Row[] = [];
    for (let after: string | null = null; ; ) {
      const { result }: z.infer<typeof page> = await send(query, { first: PAGE_ROWS, after }, page);
      rows.push(...result.nodes);
      if (!result.pageInfo.hasNextPage) return rows;
      after = result.pageInfo.endCursor;
    }
  }

  return {
    createKey: (key) => change(CREATE_KEY, key, keyWithSecretView),
    listKeys: () => list(LIST_KEYS, apiKeyView),
    rotateKey: (which) => change(ROTATE_KEY, which, keyWithSecretView),
    revokeKey: async (which) => (await change(REVOKE_KEY, which, z.object({ apiKeys: z.array(apiKeyView) }))).apiKeys,
    createWorkspace: async (workspace): Promise<WorkspaceView> =>
      (await change(CREATE_WORKSPACE, workspace, z.object({ workspace: workspaceView }))).workspace,
    listWorkspaces: () => list(LIST_WORKSPACES, workspaceView),
    close: async () => undefined,
  };
}

import {
  type ApiKeyFragment,
  ApiKeys,
  CreateApiKey,
  CreateWorkspace,
  type JobClient,
  RevokeApiKey,
  RotateApiKey,
  successOf,
  type WorkspaceFragment,
  Workspaces,
} from "@ai-job-server/sdk/client";
import { type ApiKeyView, type Backend, PAGE_ROWS, type WorkspaceView } from "./backend.ts";

/** The commands over HTTP: any server, with a key that may do it. */
export function backendOf(client: JobClient): Backend {
  return {
    createKey: async ({ expiresAt, jobKinds, roles, ...rest }) => {
      const input = {
        ...rest,
        roles: [...roles],
        jobKinds: copied(jobKinds),
        expiresAt: expiresAt?.toISOString() ?? null,
      };
      const { apiKey, secret } = successOf((await client.request(CreateApiKey, { input })).createApiKey);
      return { apiKey: keyView(apiKey), secret };
    },
    listKeys: async () => (await toTheEnd(async (page) => (await client.request(ApiKeys, page)).apiKeys)).map(keyView),
    rotateKey: async (input) => {
      const { apiKey, secret } = successOf((await client.request(RotateApiKey, { input })).rotateApiKey);
      return { apiKey: keyView(apiKey), secret };
    },
    revokeKey: async (input) =>
      successOf((await client.request(RevokeApiKey, { input })).revokeApiKey).apiKeys.map(keyView),
    createWorkspace: async (input) =>
      workspaceView(successOf((await client.request(CreateWorkspace, { input })).createWorkspace).workspace),
    listWorkspaces: async () =>
      (await toTheEnd(async (page) => (await client.request(Workspaces, page)).workspaces)).map(workspaceView),
    close: async () => client.close(),
  };
}

interface Page<Row> {
  readonly nodes: readonly Row[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

/** Reads a list page by page. */
async function toTheEnd<Row>(
  read: (page: { first: number; after: string | null }) => Promise<Page<Row>>,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (let after: string | null = null; ; ) {
    const { nodes, pageInfo }: Page<Row> = await read({ first: PAGE_ROWS, after });
    rows.push(...nodes);
    if (!pageInfo.hasNextPage) return rows;
    after = pageInfo.endCursor;
  }
}

/** Without the id of its node, which only GraphQL's clients need. */
function keyView({ id, ...view }: ApiKeyFragment): ApiKeyView {
  void id;
  return view;
}

function workspaceView({ workspaceId, name, createdAt, retentionDays }: WorkspaceFragment): WorkspaceView {
  return { workspaceId, name, createdAt, retentionDays };
}

function copied<Item>(items: readonly Item[] | null | undefined): Item[] | null {
  return items ? [...items] : null;
}

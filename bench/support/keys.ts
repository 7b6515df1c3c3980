import { Agent } from "node:http";
import { z } from "zod";
import { WORKSPACE } from "./jobs.ts";
import { post } from "./load.ts";
import type { Server } from "./servers.ts";

/** The operator's key of servers that ask who calls. */
export const OPERATOR_KEY = "the-operator-of-a-benchmark-who-has-a-long-key";

const created = z.object({ data: z.object({ createApiKey: z.object({ secret: z.string() }) }) });

/** @returns a new key of a viewer, submitter and worker of the default workspace. */
export async function keyOf({ url }: Server): Promise<string> {
  const agent = new Agent();
  const query = `mutation { createApiKey(input: { name: "bench", roles: [VIEWER, SUBMITTER, WORKER] }) {
    ... on CreateApiKeyPayload { secret } } }`;
  const headers = { authorization: `Bearer ${OPERATOR_KEY}`, "x-workspace-id": WORKSPACE };
  const answer = await post(url, { query, variables: () => ({}), answer: "secret", headers }, agent);
  agent.destroy();
  return created.parse(JSON.parse(answer)).data.createApiKey.secret;
}

import { once } from "node:events";
import { type DocumentNode, print } from "graphql";
import { z } from "zod";
import { createClaimer } from "../../src/claims/claim.ts";
import type { Database } from "../../src/db/database.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { trustProxies } from "../../src/http/proxies.ts";
import { type Authenticator, OPEN } from "../../src/identity/authenticator.ts";
import { Feed } from "../../src/live/feed.ts";
import { createServer } from "../../src/server.ts";
import { engineOn } from "./engine.ts";
import { inProcess, JUST_SWEPT } from "./server.ts";
import { watchedLog } from "./watched-log.ts";

/** The server as a hostile client sees it: requests that no typed client would send, the answers, and the log. */

export interface LoggedServer {
  readonly url: string;
  /** The lines that the server logged since the last call, without those of requests. */
  logged(): readonly string[];
  close(): Promise<void>;
}

/**
 * Starts the server on a free port, and keeps its log.
 * @param authenticator tells who calls; left out: nobody is asked.
 */
export async function startLoggedServer(
  database: Database,
  authenticator: Authenticator = OPEN,
): Promise<LoggedServer> {
  let lines: string[] = [];
  const { log, watch, assertNothingSent } = watchedLog((line) => {
    // Each request has a line of its own, which is not what these tests are about.
    if (!/"msg":"(command|read|request|request refused|subscription began|subscription ended)"/.test(line))
      lines.push(line);
  });
  const feed = new Feed({ database, pollMs: 100, onError: (err) => log.warn({ err }) });
  const notifier = inProcess();
  notifier.onNotify(() => feed.notify());
  const engine = engineOn(database, { notifyCommit: () => notifier.notify() });
  const claimer = createClaimer(engine, (err) => log.warn({ err }));
  const options = { engine, feed, claimer, notifier, maintenance: JUST_SWEPT, log };
  const server = createServer({
    ...options,
    authenticator,
    corsOrigins: [],
    proxies: trustProxies([]),
    maxBodyBytes: 5_000_000,
    maxDocumentTokens: 2_000,
    maxJsonValues: 100_000,
  });
  watch(server.http);
  server.http.listen(0, "127.0.0.1");
  await once(server.http, "listening");
  const address = server.http.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/graphql`;
  const logged = () => {
    const logLines = lines;
    lines = [];
    return logLines;
  };
  const close = async () => {
    await server.close();
    assertNothingSent();
  };
  return { url, logged, close };
}

export const answerSchema = z.object({
  data: z.record(z.string(), z.unknown()).nullish(),
  errors: z
    .array(
      z.object({
        message: z.string(),
        path: z.array(z.union([z.string(), z.number()])).optional(),
        extensions: z.record(z.string(), z.unknown()),
      }),
    )
    .optional(),
});

export type Answer = z.infer<typeof answerSchema> & { readonly status: number };

/** Sends any request. @returns the parsed answer with its HTTP status. */
export async function send(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  return { ...answerSchema.parse(JSON.parse(await response.text())), status: response.status };
}

/** An operation as a request's body. Variables may be JSON text, for values that JavaScript cannot serialize. */
export function operation(document: DocumentNode | string, variables: unknown = {}): string {
  const query = typeof document === "string" ? document : print(document);
  const text = typeof variables === "string" ? variables : JSON.stringify(variables);
  return `{"query":${JSON.stringify(query)},"variables":${text}}`;
}

/** Posts a body with the current GraphQL media type: a request that is refused as a whole is then answered with 400. */
export function post(url: string, body: string, headers: Record<string, string> = {}): Promise<Answer> {
  const types = { "content-type": "application/json", accept: "application/graphql-response+json" };
  return send(url, { method: "POST", headers: { ...types, ...headers }, body });
}

/** Counts and hashes of all rows. Two results are equal if and only if nothing was changed in between. */
export async function everything(prisma: PrismaClient) {
  const [rows] = await prisma.$queryRaw<Record<string, unknown>[]>`
    SELECT
      (SELECT count(*)::int FROM workspaces) AS workspaces,
      (SELECT count(*)::int FROM ai_jobs) AS jobs,
      (SELECT coalesce(sum(version), 0)::int FROM ai_jobs) AS versions,
      (SELECT count(*)::int FROM flight_recorder_events) AS events,
      (SELECT count(*)::int FROM workflow_runs) AS runs,
      (SELECT count(*)::int FROM node_executions) AS nodes,
      (SELECT md5(string_agg(j::text, '|' ORDER BY job_id)) FROM ai_jobs j) AS "contentOfJobs",
      (SELECT md5(string_agg(r::text, '|' ORDER BY id)) FROM workflow_runs r) AS "contentOfRuns"`;
  return rows;
}

import { once } from "node:events";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { createClient } from "@ai-job-server/sdk/client";
import { createWorker, runOnce } from "@ai-job-server/sdk/worker";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { killSpawned, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** Traces as a collector gets them, by the protocol of OpenTelemetry (OTLP over HTTP), from a server as users start it. */

const sent = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(z.unknown()) }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.looseObject({
              traceId: z.string(),
              spanId: z.string(),
              parentSpanId: z.string().optional(),
              name: z.string(),
              status: z.looseObject({ code: z.number().optional() }).optional(),
            }),
          ),
        }),
      ),
    }),
  ),
});
type Span = z.infer<typeof sent>["resourceSpans"][number]["scopeSpans"][number]["spans"][number];

/** The exporter tries for some seconds before it says so, and a machine that is busy with other tests takes its time. */
const LONG = { timeout: 180_000 };
const SECRET = "the-content-of-a-job";
const bodies: string[] = [];
const collector = createServer((request, response) => {
  void text(request).then((body) => {
    bodies.push(body);
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
});

let server: SpawnedServer;
let url: string;
beforeAll(async () => {
  collector.listen(0, "127.0.0.1");
  await once(collector, "listening");
  const address = collector.address();
  const port = typeof address === "object" ? address?.port : 0;
  server = spawnServer({
    DATABASE_URL: "memory:",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_BSP_SCHEDULE_DELAY: "100",
    OTEL_SERVICE_NAME: "jobs",
    LOG_LEVEL: "debug",
  });
  url = await server.url;
});
afterAll(async () => {
  await killSpawned();
  collector.close();
});

function spans(): readonly Span[] {
  return bodies.flatMap((body) =>
    sent.parse(JSON.parse(body)).resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((each) => each.spans)),
  );
}

/** The names of the spans of a trace, once the last of them has come. */
async function untilCame(traceId: string, ...names: readonly string[]): Promise<readonly Span[]> {
  const ofTrace = () => spans().filter((span) => span.traceId === traceId);
  await expect
    .poll(() => ofTrace().map(({ name }) => name), { timeout: 20_000 })
    .toEqual(expect.arrayContaining([...names]));
  return ofTrace();
}

test("a request is in the caller's trace; a job's trace has what its worker reported, with every statement", async () => {
  const callers = "0af7651916cd43dd8448eb211c80319c";
  const traceparent = `00-${callers}-b7ad6b7169203331-01`;
  const { jobId } = await createClient({ url, headers: { traceparent } }).submit({
    jobKind: "DOC_SUMMARIZE",
    protocolId: "traced",
    jobInputs: { text: SECRET },
  });
  const worker = createWorker({ url });
  let ofHandler = "";
  worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
    ofHandler = ctx.traceparent;
    await ctx.step("step", { input: SECRET }, () => SECRET);
    return { outputs: SECRET };
  });
  expect(await runOnce(worker)).toMatchObject({ ending: "completed" });
  const ofJob = (await createClient({ url }).job(jobId))?.traceId.replaceAll("-", "") ?? "";
  const [, trace, parent] = ofHandler.split("-");
  expect(trace).toBe(ofJob);

  const submit = (await untilCame(callers, "mutation SubmitAiJob")).find(({ name }) => name.startsWith("mutation"));
  expect(submit?.parentSpanId).toBe("b7ad6b7169203331");
  const came = await untilCame(ofJob, "mutation CompleteWorkflows");
  const operations = [...came, ...spans()].filter(({ name }) => name.startsWith("mutation "));
  expect(came.find(({ name }) => name === "mutation CompleteWorkflows")?.parentSpanId).toBe(parent);
  // Of each operation come its statements, below it.
  for (const { spanId } of operations) expect(statementsBelow(spanId, spans()).length).toBeGreaterThan(0);
  expect(bodies.join("\n")).toContain('"stringValue":"jobs"');
  expect(bodies.join("\n")).not.toContain(SECRET);
});

function statementsBelow(spanId: string, all: readonly Span[]): readonly Span[] {
  const below = all.filter(({ parentSpanId }) => parentSpanId === spanId);
  return below.flatMap((span) => [
    ...(span.name.includes("db_query") ? [span] : []),
    ...statementsBelow(span.spanId, all),
  ]);
}

test("a request without a trace begins one, under which the log has it; one with errors has failed", async () => {
  // By a name that no other test uses, since the log may still bring lines of theirs.
  await ask("query BeginsTrace { workflowRuns(first: 1) { nodes { attempt } } }");
  const logged = () => server.logged.find((line) => line.includes("BeginsTrace")) ?? "{}";
  await expect.poll(logged).toContain("traceId");
  const { traceId } = z.object({ traceId: z.string() }).parse(JSON.parse(logged()));
  const came = await untilCame(traceId, "query BeginsTrace");
  expect(came.find(({ name }) => name === "query BeginsTrace")?.parentSpanId ?? "").toBe("");
  const traceparent = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await ask('query Fails { workflowRuns(after: "nonsense") { nodes { attempt } } }', { traceparent });
  const failed = await untilCame("1af7651916cd43dd8448eb211c80319c", "query Fails");
  expect(failed.find(({ name }) => name === "query Fails")?.status?.code).toBe(2);
});

async function ask(query: string, headers: Record<string, string> = {}): Promise<void> {
  const body = JSON.stringify({ query });
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
  await response.text();
}

test("a caller that asks for no trace has none", async () => {
  const within = (trace: string, flag: string) => ({ traceparent: `00-${trace}-b7ad6b7169203331-${flag}` });
  const submitting = { jobKind: "DOC_EDIT", protocolId: "traced" } as const;
  await createClient({ url, headers: within("2af7651916cd43dd8448eb211c80319c", "00") }).submit(submitting);
  await createClient({ url, headers: within("3af7651916cd43dd8448eb211c80319c", "01") }).submit(submitting);
  await untilCame("3af7651916cd43dd8448eb211c80319c", "mutation SubmitAiJob");
  expect(spans().filter(({ traceId }) => traceId.startsWith("2af7"))).toEqual([]);
});

test("what the server does by itself is no part of a trace", async () => {
  await createClient({ url }).submit({ jobKind: "DOC_EDIT", protocolId: "traced" });
  // It reads the log and the queue several times a second, by timers that requests have set.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(spans().length).toBeGreaterThan(0);
  expect(spans().filter((span) => !isOfOperation(span))).toEqual([]);
});

/** Whether a span is that of an operation, or below one. */
function isOfOperation({ name, parentSpanId }: Span): boolean {
  if (/^(query|mutation)( |$)/.test(name)) return true;
  const parent = spans().find(({ spanId }) => spanId === parentSpanId);
  return parent !== undefined && isOfOperation(parent);
}

test("what has not been sent is sent when the server stops", async () => {
  const traceId = "4af7651916cd43dd8448eb211c80319c";
  const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
  await createClient({ url, headers }).submit({ jobKind: "DOC_EDIT", protocolId: "last" });
  expect(await server.end("SIGTERM")).toMatchObject({ code: 0 });
  expect(spans().filter((span) => span.traceId === traceId).length).toBeGreaterThan(1);
});

test.each([
  ["refuses", 401],
  ["is not there", undefined],
])("a collector that %s is said, and keeps no server from stopping as it should", LONG, async (_what, status) => {
  const refusing = createServer((request, response) => {
    request.resume();
    response.writeHead(status ?? 500).end();
  }).listen(0, "127.0.0.1");
  await once(refusing, "listening");
  const address = refusing.address();
  const port = typeof address === "object" ? address?.port : 0;
  if (status === undefined) refusing.close();
  const other = spawnServer({
    DATABASE_URL: "memory:",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_BSP_SCHEDULE_DELAY: "100",
  });
  await createClient({ url: await other.url }).submit({ jobKind: "DOC_EDIT", protocolId: "untraced" });
  await expect.poll(() => other.logged.join("\n"), { timeout: 90_000 }).toContain("traces could not be sent");
  expect(await other.end("SIGTERM")).toMatchObject({ code: 0 });
  refusing.close();
});

test("of a share of the traces, a trace is there as a whole or not at all", LONG, async () => {
  const few = spawnServer({
    DATABASE_URL: "memory:",
    OTEL_EXPORTER_OTLP_ENDPOINT: collectorUrl(),
    OTEL_BSP_SCHEDULE_DELAY: "100",
    OTEL_TRACES_SAMPLER_ARG: "0",
  });
  const headers = { traceparent: "00-5af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
  await createClient({ url: await few.url, headers }).submit({ jobKind: "DOC_EDIT", protocolId: "none" });
  expect(await few.end("SIGTERM")).toMatchObject({ code: 0 });
  expect(spans().filter(({ traceId }) => traceId.startsWith("5af7"))).toEqual([]);
});

function collectorUrl(): string {
  const address = collector.address();
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
}

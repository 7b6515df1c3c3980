/**
 * What do traces cost? Run with `npx tsx bench/tracing.ts`. A server that sends them to a collector next to one that does not, in turns; the
 * collector takes what comes and looks at nothing.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { createPostgresDatabase } from "../test/support/database.ts";
import { cells, compare, head } from "./support/compare.ts";
import { bar, machine, table } from "./support/figures.ts";
import type { Operation } from "./support/load.ts";
import { startOurs } from "./support/servers.ts";

const ROUNDS = 9;
const ROUND_MS = 2_500;
/** With traces a server does at least this share of what it does without. */
const MIN_SHARE = 0.95;

const SUBMIT: Operation = {
  query: `mutation Submit($input: SubmitAiJobInput!) { submitAiJob(input: $input) {
    __typename ... on SubmitAiJobPayload { job { jobId jobKind state createdAt } } } }`,
  variables: () => ({
    input: { jobKind: "DOC_SUMMARIZE", protocolId: "bench", jobInputs: { text: "what to work on" } },
  }),
  answer: '"job":{"jobId":"',
};
const LIST: Operation = {
  query: "query List { aiJobs(first: 20) { nodes { jobId jobKind state metrics { totalTokens } } } }",
  variables: () => ({}),
  answer: '"nodes":[',
};

let bytes = 0;
const collector = createServer((request, response) => {
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
}).listen(0, "127.0.0.1");
await once(collector, "listening");
const address = collector.address();
const port = typeof address === "object" ? address?.port : 0;

async function startSide(settings: Readonly<Record<string, string>>) {
  const { url, drop } = await createPostgresDatabase();
  const server = await startOurs(url, [], undefined, settings);
  return {
    server,
    close: async () => {
      await server.stop();
      await drop();
    },
  };
}

const traced = await startSide({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
const plain = await startSide({});
const rows: string[][] = [];
try {
  for (const [name, operation] of Object.entries({ submit: SUBMIT, "list of 20": LIST })) {
    const comparison = await compare(
      { server: traced.server, operation },
      { server: plain.server, operation },
      ROUNDS,
      ROUND_MS,
    );
    rows.push([name, ...cells(comparison)]);
    console.log(bar(`${name}, with traces : without`, comparison.ratio, { atLeast: MIN_SHARE }));
  }
} finally {
  await traced.close();
  await plain.close();
  collector.close();
}
console.log(`\n${table(head("question", "with traces", "without"), rows)}\n\n${machine()}; ${bytes} bytes of traces\n`);

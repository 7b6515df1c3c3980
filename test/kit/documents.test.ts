import { AiJob, AiJobs, SubmitAiJob } from "@ai-job-server/sdk/client";
import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client";
import { Client, fetchExchange } from "@urql/core";
import { parse, print } from "graphql";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { killSpawned } from "../support/spawn-server.ts";
import { JOB, type KitServer, startKitServer } from "./server.ts";

/** The kit's documents in other clients, which take them as they are, with the types of their data and variables. */

let server: KitServer;
beforeAll(async () => {
  server = await startKitServer();
});
afterAll(killSpawned);

test("Apollo Client submits and reads by them", async () => {
  const apollo = new ApolloClient({ link: new HttpLink({ uri: server.url }), cache: new InMemoryCache() });
  const { data } = await apollo.mutate({ mutation: SubmitAiJob, variables: { input: JOB } });
  if (data?.submitAiJob.__typename !== "SubmitAiJobPayload") throw new Error("It was not submitted.");
  const { jobId } = data.submitAiJob.job;
  const read = await apollo.query({ query: AiJob, variables: { jobId } });
  expect(read.data?.aiJob?.state).toBe("QUEUED");
});

test("urql lists by them", async () => {
  const { jobId } = await server.client.submit(JOB);
  const urql = new Client({ url: server.url, exchanges: [fetchExchange], preferGetMethod: false });
  const { data } = await urql.query(AiJobs, { filter: { states: ["QUEUED"] } });
  expect(data?.aiJobs.nodes.map((job) => job.jobId)).toContain(jobId);
});

const sent = z.object({ source: z.object({ body: z.string() }) });

test("their text and their definitions say the same", () => {
  for (const document of [AiJob, AiJobs, SubmitAiJob]) {
    const { body } = sent.parse(document.loc).source;
    expect(print(document)).toBe(print(parse(body)));
  }
});

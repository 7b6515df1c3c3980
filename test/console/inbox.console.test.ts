import { createClient, type JobClient } from "@ai-job-server/sdk/client";
import { createWorker, type Worker } from "@ai-job-server/sdk/worker";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assertAccessibleEverywhere, type Console, openConsole } from "./console.ts";

/** The inbox, by somebody with a mouse, who may press too often. */

let app: Console;
let client: JobClient;
let worker: Worker;
let ended: Promise<void>;
beforeAll(async () => {
  app = await openConsole();
  client = createClient({ url: app.server.url });
  worker = createWorker({ url: app.server.url });
  worker.handle("DOC_EDIT", async (_job, ctx) => {
    ctx.output.write("Draft: the lease ends in May. ");
    return { outputs: await ctx.ask("Send it?", { options: ["Yes", "No"] }) };
  });
  ended = worker.run();
});
afterAll(async () => {
  worker.stop();
  await ended;
  await app.close();
});

const stateOf = async (jobId: string) => (await client.job(jobId))?.state;

async function ask(protocolId: string): Promise<string> {
  const labels = [{ key: "customer", value: "ada" }];
  const { jobId } = await client.submit({
    jobKind: "DOC_EDIT",
    protocolId,
    labels,
    jobInputs: { document: "lease.pdf" },
  });
  await expect.poll(() => stateOf(jobId), { timeout: 20_000 }).toBe("AWAITING_USER");
  return jobId;
}

test("of two presses the second one does not answer the next job, which is where the last one was", async () => {
  const first = await ask("asks-first");
  const second = await ask("asks-second");
  const page = await app.open("/inbox");
  const asked = page.getByRole("region", { name: "Decision" });
  await asked.getByText("asks-first").waitFor();
  const yes = asked.getByRole("button", { name: "Yes" });
  const { x = 0, y = 0, width = 0, height = 0 } = (await yes.boundingBox()) ?? {};
  const press = () => page.mouse.click(x + width / 2, y + height / 2);
  await press();
  await page.waitForTimeout(250);
  await press();
  await asked.getByText("asks-second").waitFor();
  await expect.poll(() => page.evaluate("document.activeElement.textContent")).toContain("asks-second");
  expect(await yes.boundingBox()).toEqual({ x, y, width, height });
  await page.waitForTimeout(1500);
  expect(await stateOf(first)).not.toBe("AWAITING_USER");
  expect(await stateOf(second)).toBe("AWAITING_USER");
  await page.getByRole("status").getByRole("link", { name: "Answered “Yes”" }).waitFor();
  // Whoever has looked at it answers it at the first press.
  await press();
  await expect.poll(() => stateOf(second)).not.toBe("AWAITING_USER");
  await page.getByText("Nothing waits for you.").waitFor();
  await page.close();
  app.assertClean();
});

test("a decision has at hand what it is about, and to cancel the job is not what is offered first", async () => {
  const jobId = await ask("about");
  const page = await app.open(`/inbox?job=${jobId}`);
  const asked = page.getByRole("region", { name: "Decision" });
  await asked.getByRole("link", { name: "customer=ada" }).waitFor();
  await asked.getByRole("button", { name: "Inputs" }).click();
  await asked.getByText("lease.pdf").waitFor();
  await asked.getByRole("button", { name: "Output so far" }).click();
  await asked.getByText("Draft: the lease ends in May.").waitFor();
  expect(await asked.getByRole("button", { name: "Cancel the job" }).getAttribute("class")).toBe("button");
  await assertAccessibleEverywhere(page);
  await page.close();
  app.assertClean();
});

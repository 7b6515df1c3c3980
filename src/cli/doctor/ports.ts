import { createServer } from "node:net";
import { z } from "zod";
import type { Config } from "../../config.ts";
import { explain } from "../../explain.ts";
import { type ListenAddress, ListenError, listen } from "../../listen.ts";
import type { Finding } from "./finding.ts";

/** How long what listens on a port may take to say what it is, in milliseconds: a server looks at its database for two seconds. */
const ANSWER_MS = 5_000;

/** What a server of ours answers to anybody, with auth, too: what stands where, and whether it can serve. */
const paths = z.looseObject({ graphql: z.literal("/graphql"), ready: z.literal("/ready"), live: z.literal("/live") });
const readiness = z.looseObject({ ready: z.boolean(), reason: z.string().optional() });

/** @returns whether the server could listen where it is to. */
export async function portFindings({ host, port, metrics }: Config): Promise<readonly Finding[]> {
  const api = await portFinding("port", { host, port }, "PORT", saysWhatItIs);
  return metrics ? [api, await portFinding("metrics port", metrics, "METRICS_PORT", hasMetrics)] : [api];
}

/** @param identify finds out what holds a port; undefined where it is no server of ours. */
async function portFinding(
  check: string,
  address: ListenAddress,
  setting: "PORT" | "METRICS_PORT",
  identify: (origin: string) => Promise<Pick<Finding, "state" | "text"> | undefined>,
): Promise<Finding> {
  const server = createServer();
  try {
    const origin = await listen(server, address, setting);
    await new Promise((resolve) => server.close(resolve));
    const text = address.port === 0 ? "The server picks a free one." : `Nothing listens on ${origin} yet.`;
    return { check, state: "ok", text };
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    const isTaken = error.cause instanceof Error && "code" in error.cause && error.cause.code === "EADDRINUSE";
    const found = isTaken ? await identify(originOf(address)).catch(() => undefined) : undefined;
    return { check, ...(found ?? { state: "failed", text: explain(error) }) };
  }
}

/** Where to ask what listens on an address; the one that stands for all of a machine's is none to connect to. */
function originOf({ host, port }: ListenAddress): string {
  const name = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`;
}

async function saysWhatItIs(origin: string): Promise<Pick<Finding, "state" | "text"> | undefined> {
  if (!paths.safeParse(await (await ask(`${origin}/`)).json()).success) return undefined;
  const { ready, reason } = readiness.parse(await (await ask(`${origin}/ready`)).json());
  const which = `An AI Job Server listens on ${origin}`;
  const another = "For another one beside it, set another PORT.";
  if (ready) return { state: "ok", text: `${which}, and can serve. ${another}` };
  return { state: "warning", text: `${which}, and cannot serve: ${reason ?? "it does not say why."} ${another}` };
}

async function hasMetrics(origin: string): Promise<Pick<Finding, "state" | "text"> | undefined> {
  if (!(await (await ask(`${origin}/metrics`)).text()).includes("hsk_")) return undefined;
  return {
    state: "ok",
    text: `The metrics of an AI Job Server are on ${origin}. For another one's, set another METRICS_PORT.`,
  };
}

/** Without any credential: what listens there may be anything. */
function ask(url: string): Promise<Response> {
  const headers = { accept: "application/json, text/plain" };
  return fetch(url, { headers, redirect: "manual", signal: AbortSignal.timeout(ANSWER_MS) });
}

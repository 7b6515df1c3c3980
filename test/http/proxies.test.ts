import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { trustProxies } from "../../src/http/proxies.ts";

/** Whose word on the client is believed, by real requests. */

let server: Server;
let port: number;
const received: IncomingMessage[] = [];
beforeAll(async () => {
  server = createServer((incoming, response) => {
    received.push(incoming);
    response.end();
  });
  server.listen(0, "::");
  await once(server, "listening");
  const address = server.address();
  port = typeof address === "object" && address ? address.port : 0;
});
afterAll(() => {
  server.close();
});

async function sentWith(headers: Readonly<Record<string, string>>, host = "127.0.0.1"): Promise<IncomingMessage> {
  const sent = request({ host, port, headers });
  sent.end();
  await new Promise((resolve, reject) => {
    sent.once("error", reject);
    sent.once("response", (response) => {
      response.resume();
      response.once("end", resolve);
    });
  });
  const incoming = received.pop();
  if (!incoming) throw new Error("The server had no request.");
  return incoming;
}

const NOBODY: readonly string[] = [];

describe("the client's address is", () => {
  test.each([
    ["the connection's where nobody is trusted", NOBODY, "203.0.113.9", "127.0.0.1"],
    ["the connection's where it is of another proxy", ["10.0.0.0/8"], "203.0.113.9", "127.0.0.1"],
    ["what the trusted proxy says", ["127.0.0.1"], "203.0.113.9", "203.0.113.9"],
    ["what the last one of a trusted range says", ["127.0.0.0/8"], "203.0.113.9", "203.0.113.9"],
    ["what the trusted proxy says, not what its client does", ["loopback"], "198.51.100.1, 203.0.113.9", "203.0.113.9"],
    ["found behind two trusted proxies", ["loopback", "10.0.0.0/8"], "1.2.3.4, 203.0.113.9, 10.1.2.3", "203.0.113.9"],
    ["one of IPv6", ["loopback"], "2001:db8::9", "2001:db8::9"],
    ["the proxy's, where that passes on what is no address", ["loopback"], "unknown", "127.0.0.1"],
    ["the proxy's, where it says nothing", ["loopback"], "", "127.0.0.1"],
    ["one of IPv4, where it is mapped", ["loopback"], "::ffff:203.0.113.9", "203.0.113.9"],
  ])("%s", async (_what, trusted, forwardedFor, expected) => {
    const incoming = await sentWith(forwardedFor === "" ? {} : { "x-forwarded-for": forwardedFor });
    expect(trustProxies(trusted).clientAddress(incoming)).toBe(expected);
  });

  test("of IPv6 where the connection is", async () => {
    const incoming = await sentWith({ "x-forwarded-for": "203.0.113.9" }, "::1");
    expect(trustProxies([]).clientAddress(incoming)).toBe("::1");
    expect(trustProxies(["loopback"]).clientAddress(incoming)).toBe("203.0.113.9");
  });
});

describe("the client speaks TLS", () => {
  test.each([
    ["where the trusted proxy says so", ["loopback"], "https", true],
    ["where the first of several proxies says so", ["loopback"], "HTTPS, http", true],
    ["not where nobody is trusted", NOBODY, "https", false],
    ["not where it is another proxy that says so", ["10.0.0.0/8"], "https", false],
    ["not where the proxy says that it does not", ["loopback"], "http", false],
    ["not where nobody says so", ["loopback"], undefined, false],
  ])("%s", async (_where, trusted, scheme, expected) => {
    const incoming = await sentWith(scheme === undefined ? {} : { "x-forwarded-proto": scheme });
    expect(trustProxies(trusted).isSecure(incoming)).toBe(expected);
  });
});

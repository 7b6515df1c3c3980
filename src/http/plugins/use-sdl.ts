import { hash } from "node:crypto";
import type { GraphQLSchema } from "graphql";
import type { Plugin } from "graphql-yoga";
import { printSdl } from "../../graphql/sdl.ts";

/**
 * Serves the schema as SDL at a path of its own, for tools that generate clients. Its ETag stays the same for as long as the
 * schema does, on every server: a tool that has it asks with `If-None-Match` and gets 304.
 */
export function useSdl(path: string, schema: GraphQLSchema): Plugin {
  let sdl: { readonly text: string; readonly etag: string } | undefined;
  return {
    onRequest({ request, url, fetchAPI, endResponse }) {
      if (url.pathname !== path || (request.method !== "GET" && request.method !== "HEAD")) return;
      sdl ??= withEtag(printSdl(schema));
      const headers = { etag: sdl.etag, "cache-control": "no-cache", "content-type": "text/plain; charset=utf-8" };
      const isKnown = namesEtag(request.headers.get("if-none-match"), sdl.etag);
      const body = isKnown || request.method === "HEAD" ? null : sdl.text;
      endResponse(new fetchAPI.Response(body, { status: isKnown ? 304 : 200, headers }));
    },
  };
}

/** Weak, because the answer may be compressed on its way. */
function withEtag(text: string) {
  return { text, etag: `W/"${hash("sha256", text, "base64url")}"` };
}

/** Whether the header of a conditional request names the ETag, in its weak or its strong form. */
function namesEtag(ifNoneMatch: string | null, etag: string): boolean {
  const names = (ifNoneMatch ?? "").split(",").map((name) => name.trim().replace(/^W\//, ""));
  return names.includes("*") || names.includes(etag.replace(/^W\//, ""));
}

import type { Plugin } from "graphql-yoga";
import { type Caller, refusalOf } from "../authentication.ts";

/** Refuses the request of a page that proves no identity (section 11), with what CORS lets the page read of the answer. */
export function useAuthentication(): Plugin<object, Caller> {
  return {
    onRequest({ serverContext: { refusal }, fetchAPI, endResponse }) {
      if (!refusal) return;
      const { status, headers, body } = refusalOf(refusal);
      endResponse(new fetchAPI.Response(body, { status, headers }));
    },
  };
}

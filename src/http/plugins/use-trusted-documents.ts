import { usePersistedOperations } from "@graphql-yoga/plugin-persisted-operations";
import type { Plugin } from "graphql-yoga";
import type { Principal } from "../../identity/principal.ts";
import { mayExecute, noHash, notFound, notTrusted, type TrustedDocuments } from "../trusted-documents.ts";

/**
 * Executes trusted documents alone: those of the manifest, and those of the kits and the console. An administrator may send any other
 * (section 11). It stands where automatic persisted queries would, by which everybody registers any document.
 */
export function useTrustedDocuments(documents: TrustedDocuments): Plugin<object, { readonly principal?: Principal }> {
  const plugin: Plugin = usePersistedOperations({
    getPersistedOperation: (hash) => documents.get(hash) ?? null,
    // Who may is known here, and not by what the plugin asks with.
    allowArbitraryOperations: true,
    customErrors: { notFound, keyNotFound: noHash },
  });
  return {
    onParams(payload) {
      const { query } = payload.params;
      if (query && !mayExecute(documents, query, payload.context.principal)) throw notTrusted();
      return plugin.onParams?.(payload);
    },
  };
}

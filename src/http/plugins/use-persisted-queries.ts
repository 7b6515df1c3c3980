import { hash } from "node:crypto";
import { GraphQLError } from "graphql";
import type { Plugin } from "graphql-yoga";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { InvalidInputError } from "../../errors.ts";
import { PERSISTED_QUERY_NOT_FOUND } from "../error-format.ts";
import { MAX_DOCUMENT_LENGTH } from "../json-text.ts";

const PLACE = ["extensions", "persistedQuery"];
const persistedQuerySchema = z.object({ version: z.literal(1), sha256Hash: z.string().regex(/^[0-9a-f]{64}$/) });

/**
 * Automatic persisted queries, as Apollo's clients and others send them: a client sends the SHA-256 of a document, and its text
 * only if the server does not know it yet. Everybody may register a document, so this saves bytes and protects nothing.
 *
 * Written here because Yoga's plugin keeps a number of documents of any size, up to that of a request's body each.
 */
export function usePersistedQueries(documents: PersistedDocuments): Plugin {
  return {
    onParams({ params, setParams }) {
      const extension: unknown = params.extensions?.persistedQuery;
      if (extension == null) return;
      const { success, data } = persistedQuerySchema.safeParse(extension);
      if (!success)
        throw new InvalidInputError(PLACE, "Give version 1, and the SHA-256 of the document in lower-case hex.");
      if (params.query == null) {
        const query = documents.get(data.sha256Hash);
        // Clients look for this message or for this code, and send the text then.
        if (query === undefined)
          throw new GraphQLError("PersistedQueryNotFound", { extensions: { code: PERSISTED_QUERY_NOT_FOUND } });
        setParams({ ...params, query });
        return;
      }
      // What is no text, or longer than any document may be, is refused after this.
      if (typeof params.query !== "string" || params.query.length > MAX_DOCUMENT_LENGTH) return;
      if (hash("sha256", params.query) !== data.sha256Hash)
        throw new InvalidInputError([...PLACE, "sha256Hash"], "This is not the SHA-256 of the query.");
      documents.set(data.sha256Hash, params.query);
    },
  };
}

/** Characters that all documents together may have: most clients have a few hundred documents of about 1,000. */
const MAX_CHARACTERS = 10_000_000;
/** What a document takes beside its text, as if it were characters; without it, millions of tiny ones would be kept. */
const OVERHEAD = 500;

/** Documents by their hashes, in memory: the one whose last use is the longest ago makes room for a new one. */
export type PersistedDocuments = LRUCache<string, string>;

/** @returns documents that are empty yet. */
export function createPersistedDocuments(maxCharacters: number = MAX_CHARACTERS): PersistedDocuments {
  return new LRUCache({ maxSize: maxCharacters, sizeCalculation: ({ length }) => length + OVERHEAD });
}

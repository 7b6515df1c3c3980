import { readFile } from "node:fs/promises";
import { defaultExtractPersistedOperationId } from "@graphql-yoga/plugin-persisted-operations";
import { GraphQLError, parse } from "graphql";
import { z } from "zod";
import { ConfigError } from "../config-error.ts";
import type { ErrorCode } from "../errors.ts";
import { ANONYMOUS, type Principal } from "../identity/principal.ts";
import { PERSISTED_QUERY_NOT_FOUND } from "./error-format.ts";
import { OWN_DOCUMENTS } from "./own-documents.ts";

/** The texts of the documents that are executed, by their hashes as the clients' build has made them. */
export type TrustedDocuments = ReadonlyMap<string, string>;

const manifestSchema = z.record(z.string().min(1), z.string());

/**
 * Reads the manifest that GraphQL Code Generator's client preset writes (`persisted-documents.json`): an object of documents by hash.
 * @throws ConfigError where it cannot be read or is no such manifest, or a document is no GraphQL.
 */
export async function readTrustedDocuments(path: string): Promise<TrustedDocuments> {
  const refuse = (reason: string) => new ConfigError(`TRUSTED_DOCUMENTS: ${reason}`);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw refuse(`the manifest cannot be read: ${messageOf(error)}`);
  });
  const { success, data } = manifestSchema.safeParse(parseJson(text));
  if (!success || Object.keys(data).length === 0)
    throw refuse('the manifest must be a JSON object of documents by their hashes: {"<hash>": "query …"}.');
  for (const [hash, document] of Object.entries(data)) {
    try {
      parse(document, { noLocation: true });
    } catch (error) {
      throw refuse(`the document of the hash ${hash.slice(0, 100)} is no GraphQL: ${messageOf(error)}`);
    }
  }
  return new Map(Object.entries(data));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether a principal may have other documents executed: an administrator, who has proved to be one. */
export function mayExecuteAny(principal: Principal | undefined): boolean {
  return principal !== undefined && principal !== ANONYMOUS && principal.roles.includes("ADMIN");
}

/**
 * Whether a principal may send this text of a document. It may if the text is one that the kits or the console of this version send, or one
 * of the manifest (where an operator can add those of kits of other versions), or if the principal is an administrator.
 */
export function mayExecute(documents: TrustedDocuments, text: string, principal: Principal | undefined): boolean {
  return OWN_DOCUMENTS.has(text) || textsOf(documents).has(text) || mayExecuteAny(principal);
}

const TEXTS = new WeakMap<TrustedDocuments, ReadonlySet<string>>();

function textsOf(documents: TrustedDocuments): ReadonlySet<string> {
  const known = TEXTS.get(documents);
  if (known) return known;
  const texts = new Set(documents.values());
  TEXTS.set(documents, texts);
  return texts;
}

/** What a client sends in place of a document, or as one. */
interface Sent {
  readonly query?: string | null | undefined;
  readonly extensions?: Record<string, unknown> | null | undefined;
}

/**
 * @returns the text of what is to be executed, where it came over a WebSocket; Yoga's plugin does the same for HTTP.
 * @throws GraphQLError where it is no trusted document, and the principal may not have others executed.
 */
export function trustedText(documents: TrustedDocuments, sent: Sent, principal: Principal | undefined): string {
  if (sent.query) {
    if (mayExecute(documents, sent.query, principal)) return sent.query;
    throw notTrusted();
  }
  const hash = defaultExtractPersistedOperationId({ extensions: sent.extensions ?? {} }, NO_REQUEST, {});
  if (hash === null) throw noHash();
  const text = documents.get(hash);
  if (text === undefined) throw notFound();
  return text;
}

/** The plugin's function has it, for functions of others, and does not look at it. */
const NO_REQUEST = new Request("http://localhost");

const HOW =
  "Send the hash of one of its documents in extensions.persistedQuery: { version: 1, sha256Hash }, and no query. Kits and the " +
  "console of this server's version need not; the documents of another version of a kit must be in the manifest.";

export function notTrusted(): GraphQLError {
  return refusal("FORBIDDEN", `This server executes trusted documents alone. ${HOW}`, 403);
}

export function noHash(): GraphQLError {
  return refusal("INVALID_INPUT", `The request has no document. ${HOW}`, 400);
}

/** In the words by which clients know it. */
export function notFound(): GraphQLError {
  return new GraphQLError("PersistedQueryNotFound", { extensions: { code: PERSISTED_QUERY_NOT_FOUND } });
}

function refusal(code: ErrorCode, message: string, status: number): GraphQLError {
  return new GraphQLError(message, { extensions: { code, http: { status } } });
}

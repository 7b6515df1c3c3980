import { type DocumentNode, GraphQLError, Lexer, type ParseOptions, parse, Source, TokenKind, visit } from "graphql";
import type { Plugin } from "graphql-yoga";
import { LRUCache } from "lru-cache";
import { MAX_DOCUMENT_LENGTH } from "../json-text.ts";

/**
 * The deepest nesting of brackets. Parser, validation and execution recurse, and a deeper document could overflow the
 * stack.
 */
const MAX_DEPTH = 200;
/** Fields of the same name with a selection of their own: the validation compares each of them with each other. */
const MAX_ALIKE = 50;
/** Bytes of memory that a token of a parsed document takes at most: its node, its name, and where both stand. */
const BYTES_PER_TOKEN = 700;
/** Bytes that the kept documents may take together: several hundred of the usual size. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;

const OPENING: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L]);
const CLOSING: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R]);

/** What a parsed document was made from. */
interface Origin {
  readonly text: string;
  readonly tokens: number;
}

/**
 * Refuses a GraphQL document that is too long, has too many tokens or is nested too deeply, before it is parsed: the complexity
 * limits work only on a parsed document, and the validation's time grows with the square of the fields.
 *
 * Keeps what was parsed and found valid, in place of Yoga's caches: those have a limit of number and none of bytes, and keep what
 * was refused, too, so that a few hundred refused documents fill the memory.
 */
export function useDocuments(maxTokens: number, maxKeptBytes: number = MAX_KEPT_BYTES): Plugin {
  const valid = new LRUCache<string, DocumentNode>({
    maxSize: maxKeptBytes,
    // The text itself is the key, of one or two bytes a character.
    sizeCalculation: (document, text) => 2 * text.length + BYTES_PER_TOKEN * (origins.get(document)?.tokens ?? 0) + 1,
  });
  const origins = new WeakMap<DocumentNode, Origin>();
  return {
    onParse({ params, setParsedDocument, setParseFn }) {
      const text = textOf(params.source);
      const known = valid.get(text);
      if (known) {
        setParsedDocument(known);
        return;
      }
      setParseFn((document: string | Source, options?: ParseOptions) => {
        const source = typeof document === "string" ? new Source(document) : document;
        const tokens = checkedTokens(source, maxTokens);
        const parsed = parse(source, options);
        checkAlike(parsed);
        origins.set(parsed, { text: source.body, tokens });
        return parsed;
      });
    },
    onValidate({ params: { documentAST }, setResult }) {
      const origin = isDocument(documentAST) ? origins.get(documentAST) : undefined;
      if (!origin) return;
      if (valid.has(origin.text)) {
        setResult([]);
        return;
      }
      return ({ valid: isValid }) => {
        if (isValid && isDocument(documentAST)) valid.set(origin.text, documentAST);
      };
    },
  };
}

/** @throws GraphQLError where too many fields of one name have selections, which have to be the same or to be merged. */
function checkAlike(document: DocumentNode): void {
  const counts = new Map<string, number>();
  visit(document, {
    Field({ name, alias = name, selectionSet }) {
      if (!selectionSet) return;
      const count = (counts.get(alias.value) ?? 0) + 1;
      if (count > MAX_ALIKE) throw refusal(`one that selects ${alias.value} more than ${MAX_ALIKE} times`);
      counts.set(alias.value, count);
    },
  });
}

/** @param source a text, or a Source of GraphQL. */
function textOf(source: unknown): string {
  if (typeof source === "object" && source !== null && "body" in source) return String(source.body);
  return String(source);
}

function isDocument(value: unknown): value is DocumentNode {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "Document";
}

/**
 * Reads the document's tokens, without parsing it.
 * @returns their number.
 * @throws GraphQLError where it is beyond a limit.
 */
function checkedTokens(source: Source, maxTokens: number): number {
  if (source.body.length > MAX_DOCUMENT_LENGTH) throw documentTooLong();
  const lexer = new Lexer(source);
  let depth = 0;
  let tokens = 0;
  for (let kind = lexer.advance().kind; kind !== TokenKind.EOF; kind = lexer.advance().kind) {
    tokens += 1;
    if (OPENING.has(kind)) depth += 1;
    if (CLOSING.has(kind)) depth -= 1;
    if (tokens > maxTokens) throw refusal(`of more than ${maxTokens} tokens`);
    if (depth > MAX_DEPTH) throw refusal("nested too deeply");
  }
  return tokens;
}

export function documentTooLong(): GraphQLError {
  return refusal(`longer than ${MAX_DOCUMENT_LENGTH} characters`);
}

function refusal(what: string): GraphQLError {
  return new GraphQLError(`The operation is ${what}. Pass large values as variables, or ask in several operations.`, {
    extensions: { code: "INVALID_INPUT" },
  });
}

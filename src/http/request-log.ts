import type { IncomingMessage, ServerResponse } from "node:http";
import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  getOperationAST,
  type OperationDefinitionNode,
  OperationTypeNode,
} from "graphql";
import type { Logger } from "pino";
import type { GraphQLContext } from "../graphql/context.ts";
import { answeredErrors } from "../graphql/outcome-plugin.ts";
import { rootFieldsOf } from "../graphql/required-permissions.ts";
import type { Principal } from "../identity/principal.ts";
import { PATHS } from "./plugins/use-paths.ts";
import type { Proxies } from "./proxies.ts";
import { traceIdOf } from "./trace.ts";

/** Characters of an operation's name, and root fields of an operation, that are logged. */
const MAX_NAME = 64;
const MAX_FIELDS = 5;
/** Lines of refused requests in a second. The rest is counted: whoever knocks a thousand times would fill the disk. */
const MAX_REFUSED = 20;

/** The statuses of a request that was refused for who sent it: no valid credential, no permission, too many. */
const REFUSED: ReadonlySet<number> = new Set([401, 403, 429]);
const SERVED: ReadonlySet<string> = new Set(Object.values(PATHS));

interface RequestLogOptions {
  readonly log: Logger;
  readonly proxies: Proxies;
  /** Whether callers prove who they are. Where they do not, commands are logged as reads are. */
  readonly hasAuth: boolean;
  /** Told the codes of the errors of each operation that was answered with some; left out where nobody counts them. */
  readonly onErrors?: ((codes: ReadonlySet<string>) => void) | undefined;
}

/**
 * Logs requests: who, in which workspace, which operation, how it ended, how long it took, of which trace. Commands are at `info`,
 * reads at `debug`, and requests that were refused for who sent them at `info`. Of what a client sends nothing is logged but the
 * operation's name and its trace: no document, variable, credential or query parameter.
 */
export class RequestLog {
  readonly #log: Logger;
  readonly #proxies: Proxies;
  readonly #commandLevel: "info" | "debug";
  readonly #onErrors: RequestLogOptions["onErrors"];
  /** HTTP requests whose operation was executed: it has a line of its own. */
  readonly #executed = new WeakSet<IncomingMessage>();
  readonly #principals = new WeakMap<IncomingMessage, Principal>();
  #second = 0;
  #refusedInSecond = 0;
  #notLogged = 0;

  constructor({ log, proxies, hasAuth, onErrors }: RequestLogOptions) {
    this.#onErrors = onErrors;
    this.#log = log;
    this.#proxies = proxies;
    this.#commandLevel = hasAuth ? "info" : "debug";
  }

  /** Logs an HTTP request when its answer has ended, unless the operation has a line of its own. */
  watch(request: IncomingMessage, response: ServerResponse): void {
    const startedAt = performance.now();
    response.once("close", () => {
      const status = response.headersSent ? response.statusCode : undefined;
      if (this.#executed.has(request)) return;
      if (status !== undefined && REFUSED.has(status)) this.refused(request, status);
      else this.#log.debug({ ...this.#ofRequest(request), status, ms: msSince(startedAt) }, "request");
    });
  }

  /** Says who sent an HTTP request. */
  identify(request: IncomingMessage, principal: Principal): void {
    this.#principals.set(request, principal);
  }

  /** Logs a request that was refused for who sent it, by the status of HTTP or the close code of a WebSocket. */
  refused(request: IncomingMessage, status: number): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) this.#refusedInSecond = 0;
    this.#second = second;
    this.#refusedInSecond += 1;
    if (this.#refusedInSecond > MAX_REFUSED) {
      this.#notLogged += 1;
      return;
    }
    const notLogged = this.#notLogged === 0 ? {} : { notLogged: this.#notLogged };
    this.#notLogged = 0;
    const address = this.#proxies.clientAddress(request);
    this.#log.info({ ...this.#ofRequest(request), address, status, ...notLogged }, "request refused");
  }

  /**
   * Begins an operation that is executed, over any transport.
   * @param request the HTTP request that it came by, if it did.
   * @returns what says that it ended, once.
   */
  begin(args: ExecutionArgs, context: GraphQLContext, request: IncomingMessage | undefined): RunningOperation {
    if (request) this.#executed.add(request);
    const operation = getOperationAST(args.document, args.operationName);
    const startedAt = performance.now();
    const level = operation?.operation === OperationTypeNode.MUTATION ? this.#commandLevel : "debug";
    const entry = () => ({
      principal: context.viewer.principal.name,
      workspace: context.viewer.chosenWorkspaceId,
      ...(operation ? namesOf(args.document, operation) : {}),
    });
    return {
      hasBegun: () => this.#log.debug({ ...entry(), traceId: context.traceId }, "subscription began"),
      hasEnded: (result) => {
        const codes = codesOf(result, answeredErrors(context));
        if (codes.size > 0) this.#onErrors?.(codes);
        if (!this.#log.isLevelEnabled(level)) return;
        const outcome = codes.size === 0 ? "ok" : [...codes].join(" ");
        this.#log[level](
          { ...entry(), outcome, ms: msSince(startedAt), traceId: context.traceId },
          messageOf(operation),
        );
      },
    };
  }

  #ofRequest(request: IncomingMessage) {
    const { method, url = "", headers } = request;
    // What stands behind the question mark is of the client; so is a path that there is not.
    const [path = ""] = url.split("?", 1);
    return {
      principal: this.#principals.get(request)?.name,
      method,
      path: SERVED.has(path) ? path : undefined,
      traceId: traceIdOf(headers.traceparent),
    };
  }
}

interface RunningOperation {
  /** Says that a subscription runs. */
  hasBegun(): void;
  /** @param result of the operation; undefined of a subscription that ran. */
  hasEnded(result: ExecutionResult | undefined): void;
}

function namesOf(document: DocumentNode, operation: OperationDefinitionNode) {
  const fields = new Set(rootFieldsOf(operation, document).map(({ name }) => name.value));
  return { operation: operation.name?.value.slice(0, MAX_NAME), fields: [...fields].slice(0, MAX_FIELDS) };
}

function messageOf(operation: OperationDefinitionNode | null | undefined): string {
  if (operation?.operation === OperationTypeNode.MUTATION) return "command";
  return operation?.operation === OperationTypeNode.SUBSCRIPTION ? "subscription ended" : "read";
}

/** @returns the codes of an operation's errors: those of the result, and those that root fields answered as data. */
function codesOf(result: ExecutionResult | undefined, answered: ReadonlySet<string>): ReadonlySet<string> {
  const thrown = result?.errors?.map(({ extensions: { code } }) => (typeof code === "string" ? code : "ERROR")) ?? [];
  return new Set([...answered, ...thrown]);
}

function msSince(startedAt: number): number {
  return Math.round(performance.now() - startedAt);
}

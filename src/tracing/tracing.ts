import { setTimeout as pause } from "node:timers/promises";
import {
  context,
  DiagLogLevel,
  diag,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  type IdGenerator,
  NodeTracerProvider,
  ParentBasedSampler,
  RandomIdGenerator,
  type Sampler,
  SamplingDecision,
  type SamplingResult,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-node";
import { PrismaInstrumentation } from "@prisma/instrumentation";
import type { TracingSettings } from "../tracing-settings.ts";
import type { TracedOperation, Tracing } from "./traced.ts";

/** How long a stop waits for the collector, in milliseconds. */
const CLOSE_MS = 2_000;
/** How often it is said, in milliseconds at least, that the collector takes nothing. */
const FAULT_MS = 60_000;

/** Characters of a statement by which people know it; some have thousands, and a server sends hundreds of them a second. */
const MAX_TEXT = 300;

/** What Prisma does between an operation and its statements tells nobody anything, and would be most of a trace. */
const ALL_BUT_STATEMENTS = /^(?!prisma:client:db_query$)/;

/**
 * OpenTelemetry, loaded where a collector is named and nowhere else: a span for each operation, with those of its statements below it. No span has
 * content of jobs: of a statement it has the text, whose values stand elsewhere.
 * The libraries read the other OTEL_ variables, such as that of headers, by themselves.
 */
export function startTracing(
  { url, serviceName, share }: TracingSettings,
  onFault: (message: string) => void,
): Tracing {
  const quietly = () => undefined;
  diag.setLogger(
    { error: atMostEvery(FAULT_MS, onFault), warn: quietly, info: quietly, debug: quietly, verbose: quietly },
    DiagLogLevel.ERROR,
  );
  const ids = new Ids();
  const provider = new NodeTracerProvider({
    resource: defaultResource().merge(resourceFromAttributes({ "service.name": serviceName })),
    idGenerator: ids,
    sampler: new OfOperations(share),
    spanLimits: { attributeValueLengthLimit: MAX_TEXT },
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url }))],
  });
  provider.register();
  const ofStatements = new PrismaInstrumentation({ ignoreSpanTypes: [ALL_BUT_STATEMENTS] });
  ofStatements.setTracerProvider(provider);
  ofStatements.enable();
  const tracer = provider.getTracer("ai-job-server");
  return {
    during: (operation, work) => {
      const [within, span] = begin(tracer, ids, operation);
      return context.with(within, () => untilEnded(span, work));
    },
    close: async () => {
      ofStatements.disable();
      // A collector that does not take them must not keep a server from stopping, nor make it look as if it had failed.
      await Promise.race([provider.shutdown().catch(() => undefined), pause(CLOSE_MS, undefined, { ref: false })]);
    },
  };
}

function begin(tracer: Tracer, ids: Ids, { name, traceparent, traceId }: TracedOperation) {
  const parent = propagation.extract(ROOT_CONTEXT, traceparent === undefined ? {} : { traceparent });
  ids.nextTraceId = traceId;
  const attributes = { "graphql.operation.type": name.split(" ", 1)[0], "graphql.operation.name": name.split(" ")[1] };
  const span = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
  return [trace.setSpan(parent, span), span] as const;
}

function untilEnded<Result>(span: Span, work: () => Promise<Result> | Result): Promise<Result> | Result {
  const end = (result: unknown) => {
    if (hasErrors(result)) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  };
  const result = attempt(span, work);
  if (!(result instanceof Promise)) {
    end(result);
    return result;
  }
  return result.then(
    (value) => {
      end(value);
      return value;
    },
    (error: unknown) => {
      end({ errors: [error] });
      throw error;
    },
  );
}

function attempt<Result>(span: Span, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR }).end();
    throw error;
  }
}

/** @returns the same, which passes on no more than one message in a time. */
function atMostEvery(ms: number, tell: (message: string) => void): (message: string) => void {
  let next = 0;
  return (message) => {
    if (Date.now() < next) return;
    next = Date.now() + ms;
    tell(message.slice(0, MAX_TEXT));
  };
}

function hasErrors(result: unknown): boolean {
  return typeof result === "object" && result !== null && "errors" in result && result.errors !== undefined;
}

/** Gives an operation without a parent the trace that its request was given already, under which the log has it. */
class Ids implements IdGenerator {
  nextTraceId: string | undefined;
  readonly #random = new RandomIdGenerator();

  generateTraceId(): string {
    const traceId = this.nextTraceId ?? this.#random.generateTraceId();
    this.nextTraceId = undefined;
    return traceId;
  }

  generateSpanId(): string {
    return this.#random.generateSpanId();
  }
}

/**
 * Operations, and what is done for one while it runs. What the server does by itself has no span: it reads several times a second, and timers that a
 * request has set go on in that request's context for good.
 */
class OfOperations implements Sampler {
  readonly #operations: Sampler;

  constructor(share: number) {
    // By the id of the trace: a job's is there as a whole, or not at all. A caller can leave its own out, and ask for no more than there are.
    const ratio = new TraceIdRatioBasedSampler(share);
    this.#operations = new ParentBasedSampler({ root: ratio, remoteParentSampled: ratio });
  }

  shouldSample(...args: Parameters<Sampler["shouldSample"]>): SamplingResult {
    const [within, , , kind] = args;
    if (kind === SpanKind.SERVER) return this.#operations.shouldSample(...args);
    const runs = trace.getSpan(within)?.isRecording() ?? false;
    return { decision: runs ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD };
  }
}

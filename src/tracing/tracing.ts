import {
  context,
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

/** Characters of a statement by which people know it; some have thousands, and a server sends hundreds of them a second. */
const MAX_TEXT = 300;

/** What Prisma does between an operation and its statements tells nobody anything, and would be most of a trace. */
const ALL_BUT_STATEMENTS = /^(?!prisma:client:db_query$)/;

/**
 * OpenTelemetry, loaded where a collector is named and nowhere else: a span for each operation, with those of its statements below it. No span has
 * content of jobs: of a statement it has the text, whose values stand elsewhere.
 * The libraries read the other OTEL_ variables, such as that of headers, by themselves.
 */
export function startTracing({ url, serviceName, share }: TracingSettings): Tracing {
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
      await provider.shutdown();
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
  const result = work();
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

function hasErrors(result: unknown): boolean {
  return typeof result === "object" && result !== null && "errors" in result && result.errors !== undefined;
}

/** Gives an operation without a parent the trace that its request was given already, which the log and a submitted job have, too. */
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
    this.#operations = new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) });
  }

  shouldSample(...args: Parameters<Sampler["shouldSample"]>): SamplingResult {
    const [within, , , kind] = args;
    if (kind === SpanKind.SERVER) return this.#operations.shouldSample(...args);
    const runs = trace.getSpan(within)?.isRecording() ?? false;
    return { decision: runs ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD };
  }
}

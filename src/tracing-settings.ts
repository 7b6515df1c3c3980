import { z } from "zod";

const address = z.url({
  protocol: /^https?$/,
  error: "must be the address of a collector, such as http://127.0.0.1:4318",
});

/** The environment variables of tracing, with the names that OpenTelemetry gives them; docs/configuration.md describes them. */
export const TRACING_ENVIRONMENT = {
  OTEL_EXPORTER_OTLP_ENDPOINT: address.optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: address.optional(),
  OTEL_SERVICE_NAME: z.string().default("ai-job-server"),
  OTEL_TRACES_SAMPLER_ARG: z.coerce.number().min(0).max(1).default(1),
};

/** Where traces are sent, and under which name. */
export interface TracingSettings {
  readonly url: string;
  readonly serviceName: string;
  /** How many of the traces that begin here are made, from 0 to 1; whether those of callers are, their header says. */
  readonly share: number;
}

/** @returns undefined where no collector is named. */
export function toTracing({
  OTEL_EXPORTER_OTLP_ENDPOINT: base,
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: whole,
  OTEL_SERVICE_NAME: serviceName,
  OTEL_TRACES_SAMPLER_ARG: share,
}: z.infer<z.ZodObject<typeof TRACING_ENVIRONMENT>>): TracingSettings | undefined {
  const url = whole ?? (base === undefined ? undefined : `${base.replace(/\/$/, "")}/v1/traces`);
  return url === undefined ? undefined : { url, serviceName, share };
}

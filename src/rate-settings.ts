import { z } from "zod";
import type { RateLimits } from "./rates/rates.ts";

/** A number of things in a time, or at once; 0 for no limit. */
const rate = z.coerce.number().int().min(0).max(1_000_000_000);

/** The environment variables of how much each principal may ask for; docs/configuration.md describes them. */
export const RATE_ENVIRONMENT = {
  RATE_COMPLEXITY_PER_MINUTE: rate.default(3_000_000),
  RATE_COMMANDS_PER_SECOND: rate.default(1_000),
  RATE_FAILED_LOGINS_PER_MINUTE: rate.default(120),
  MAX_STREAMS_PER_PRINCIPAL: rate.default(1_000),
  MAX_LONG_POLLS_PER_PRINCIPAL: rate.default(1_000),
};

export function toRateLimits(values: Readonly<Record<keyof typeof RATE_ENVIRONMENT, number>>): RateLimits {
  return {
    complexityPerMinute: values.RATE_COMPLEXITY_PER_MINUTE,
    commandsPerSecond: values.RATE_COMMANDS_PER_SECOND,
    maxStreams: values.MAX_STREAMS_PER_PRINCIPAL,
    maxLongPolls: values.MAX_LONG_POLLS_PER_PRINCIPAL,
    failedLoginsPerMinute: values.RATE_FAILED_LOGINS_PER_MINUTE,
  };
}

import { z } from "zod";

/** What a worker process of the fleet is started with; `fleet.ts` sets it. */
export const workerSettings = z
  .object({
    WORKER_ID: z.string(),
    WORKER_JOURNAL: z.string(),
    OUTSIDE: z.string(),
    WORKER_SEED: z.coerce.number(),
    LEASE_SECONDS: z.coerce.number(),
    /** Addresses, with spaces between them; a worker of a kit has one. */
    SERVERS: z.string(),
  })
  .parse(process.env);

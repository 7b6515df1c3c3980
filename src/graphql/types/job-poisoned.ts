import type { PoisonedJob } from "../../security/poison.ts";
import { builder } from "../builder.ts";
import { isPayloadWith } from "../result.ts";
import { AiJob } from "./ai-job.ts";
import { SecurityViolation } from "./security-violation.ts";

/** The answer of a mutation whose guards found a security violation. It is no error: what it says is committed. */
export const JobPoisoned = builder.objectRef<PoisonedJob>("JobPoisoned").implement({
  description:
    "This call poisoned the job, and that is committed (section 5). The worker must stop and discard everything it " +
    "produced for the job.",
  isTypeOf: isPayloadWith("violation"),
  fields: (t) => ({
    job: t.expose("job", { type: AiJob, description: "The job, now POISONED." }),
    violation: t.field({
      type: SecurityViolation,
      description: "The violation that poisoned the job.",
      resolve: ({ violation, event }) => ({ ...violation, jobId: event.jobId, event }),
    }),
  }),
});

import { z } from "zod";
import type { SentWorker } from "../../claims/acquire-lease.ts";
import type { claimAiJobs } from "../../claims/claim.ts";
import { type ClaimAiJobs, type Claimed, isEmpty } from "../../claims/request.ts";
import { JobKind } from "../../db/generated/client/enums.ts";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { refuseKind } from "../../identity/principal.ts";
import { builder } from "../builder.ts";
import { JobKindEnum } from "../enums.ts";
import { leaseSeconds, workerId } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { WorkflowClaim } from "../types/workflow-claim.ts";
import { untilPrincipalEnds } from "../until-principal-ends.ts";
import { senderOf } from "../viewer.ts";

/** The limits of one claim: jobs that it takes, seconds that it waits for the first, and kinds that it names. */
const MAX = { jobs: 100, waitSeconds: 20, kinds: Object.keys(JobKind).length };

const ClaimAiJobsInput = builder.inputType("ClaimAiJobsInput", {
  description: "Which jobs a worker claims.",
  fields: (t) => ({
    workerId: t.string(workerId),
    jobKinds: t.field({
      type: [JobKindEnum],
      validate: z.array(z.unknown()).min(1).max(MAX.kinds).nullish(),
      description:
        "The kinds that the worker can process; if left out, all that its key is for. Another kind is FORBIDDEN.",
    }),
    limit: t.int({
      required: true,
      defaultValue: 1,
      validate: z.int().min(1).max(MAX.jobs),
      description: `The largest number of jobs to claim: 1 to ${MAX.jobs}.`,
    }),
    leaseSeconds: t.int(leaseSeconds),
    waitSeconds: t.int({
      required: true,
      defaultValue: 0,
      validate: z.int().min(0).max(MAX.waitSeconds),
      description:
        `How long to wait for a first job, in seconds: 0 to ${MAX.waitSeconds}. The answer comes as soon as a job ` +
        "is due.",
    }),
  }),
});

const ClaimAiJobsPayload = builder.objectRef<Claimed>("ClaimAiJobsPayload").implement({
  description: "The claimed jobs; an empty list if none is due.",
  isTypeOf: isPayloadWith("claims"),
  fields: (t) => ({
    claims: t.field({
      type: [WorkflowClaim],
      description: "The claimed jobs with their leases, most urgent first; the worker must report on each.",
      resolve: ({ claims }) => [...claims],
    }),
    poisoned: t.field({
      type: [AiJob],
      description:
        "Jobs that were POISONED instead of delivered, because a guard found a security violation in their inputs.",
      resolve: ({ poisoned }) => [...poisoned],
    }),
  }),
});

builder.mutationField("claimAiJobs", (t) =>
  t.errorUnionField({
    permission: "JOBS_WORK",
    extensions: { waitsBy: ["input", "waitSeconds"] },
    description:
      "Claims the next jobs that are due, by priority, then by age. With the header x-workspace-id only jobs of that " +
      "workspace are claimed; without it, those of every workspace, in turns. Guards check the inputs before a job is " +
      "delivered. A job with a security violation becomes POISONED, a job whose capability profile does not suffice " +
      "becomes FAILED; neither is delivered (section 6).",
    types: [
      ClaimAiJobsPayload,
      ...errorTypes<ErrorsOf<typeof claimAiJobs>, errors.InvalidInputError | errors.ForbiddenError>()(
        errors.InvalidInputError,
        errors.ForbiddenError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of claimAiJobs." },
    args: {
      input: t.arg({
        type: ClaimAiJobsInput,
        required: true,
        description: "Which jobs to claim, and for which worker.",
      }),
    },
    resolve: async (_root, { input }, { claimer, viewer, readable, signal, onPrincipalEnd }) => {
      const { waitSeconds, jobKinds, ...rest } = input;
      const { principal } = viewer;
      const request = exact<SentWorker<ClaimAiJobs>>()({
        ...rest,
        ...senderOf(viewer),
        jobKinds: jobKinds ?? principal.jobKinds,
      });
      for (const kind of request.jobKinds ?? []) orThrow(refuseKind(principal, kind));
      const claim = (whileValid: AbortSignal | undefined) => claimer.claim(request, waitSeconds * 1000, whileValid);
      const claimed = await (waitSeconds === 0
        ? claim(signal)
        : untilPrincipalEnds(onPrincipalEnd, signal, claim, isEmpty));
      for (const { job } of claimed.claims) readable.hold(job);
      return claimed;
    },
  }),
);

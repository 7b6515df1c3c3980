import { z } from "zod";
import type { claimAiJobs } from "../../claims/claim.ts";
import type { ClaimAiJobs, Claimed } from "../../claims/request.ts";
import { JobKind } from "../../db/generated/client/enums.ts";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { builder } from "../builder.ts";
import { JobKindEnum } from "../enums.ts";
import { leaseSeconds, workerId } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { WorkflowClaim } from "../types/workflow-claim.ts";

/** The limits of one claim: jobs that it takes, seconds that it waits for the first, and kinds that it names. */
const MAX = { jobs: 100, waitSeconds: 20, kinds: Object.keys(JobKind).length };

const ClaimAiJobsInput = builder.inputType("ClaimAiJobsInput", {
  description: "Which jobs a worker claims.",
  fields: (t) => ({
    workerId: t.string(workerId),
    jobKinds: t.field({
      type: [JobKindEnum],
      validate: z.array(z.unknown()).min(1).max(MAX.kinds).nullish(),
      description: "The kinds that the worker can process; if left out, all.",
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
    description:
      "Claims the next jobs that are due, by priority, then by age. With the header x-workspace-id only jobs of that " +
      "workspace are claimed; without it, those of every workspace, in turns. Guards check the inputs before a job is " +
      "delivered. A job with a security violation becomes POISONED, a job whose capability profile does not suffice " +
      "becomes FAILED; neither is delivered (section 6).",
    types: [
      ClaimAiJobsPayload,
      ...errorTypes<ErrorsOf<typeof claimAiJobs>, errors.InvalidInputError>()(
        errors.InvalidInputError,
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
    resolve: (_root, { input }, { claimer, viewer, signal }) => {
      const { waitSeconds, jobKinds, ...rest } = input;
      const request = exact<ClaimAiJobs>()({
        ...rest,
        jobKinds: jobKinds ?? null,
        workspaceId: viewer.chosenWorkspaceId,
      });
      return claimer.claim(request, waitSeconds * 1000, signal);
    },
  }),
);

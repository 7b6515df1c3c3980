import { z } from "zod";
import type { claimAiJobs } from "../../claims/claim.ts";
import type { Claimed } from "../../claims/request.ts";
import { JobKind } from "../../db/generated/client/enums.ts";
import * as errors from "../../errors.ts";
import { builder } from "../builder.ts";
import { JobKindEnum } from "../enums.ts";
import { leaseSeconds, workerId } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { WorkflowClaim } from "../types/workflow-claim.ts";

/** Jobs that one claim may take, seconds that it may wait for the first, and kinds that it may name. */
const MAX = { jobs: 100, waitSeconds: 20, kinds: Object.keys(JobKind).length };

const ClaimAiJobsInput = builder.inputType("ClaimAiJobsInput", {
  description: "What a worker takes.",
  fields: (t) => ({
    workerId: t.string(workerId),
    jobKinds: t.field({
      type: [JobKindEnum],
      validate: z.array(z.unknown()).min(1).max(MAX.kinds).nullish(),
      description: "Kinds that the worker can do; all where it is left out.",
    }),
    limit: t.int({
      required: true,
      defaultValue: 1,
      validate: z.int().min(1).max(MAX.jobs),
      description: `Jobs to take at most: 1 to ${MAX.jobs}.`,
    }),
    leaseSeconds: t.int(leaseSeconds),
    waitSeconds: t.int({
      required: true,
      defaultValue: 0,
      validate: z.int().min(0).max(MAX.waitSeconds),
      description: `How long to wait for a first job, in seconds: 0 to ${MAX.waitSeconds}. The answer comes as soon as something is due.`,
    }),
  }),
});

const ClaimAiJobsPayload = builder.objectRef<Claimed>("ClaimAiJobsPayload").implement({
  description: "What was taken; nothing, where nothing is due.",
  isTypeOf: isPayloadWith("claims"),
  fields: (t) => ({
    claims: t.field({
      type: [WorkflowClaim],
      description: "The jobs that the worker holds now, the most urgent first; report on each of them.",
      resolve: ({ claims }) => [...claims],
    }),
    poisoned: t.field({
      type: [AiJob],
      description: "Jobs that a guard stopped instead of handing them out.",
      resolve: ({ poisoned }) => [...poisoned],
    }),
  }),
});

builder.mutationField("claimAiJobs", (t) =>
  t.errorUnionField({
    description:
      "Takes the next jobs that are due: by priority, then age. Without the header x-workspace-id a worker serves every " +
      "workspace, each in its turn; with it, that one. Inputs are guarded before tokens are handed out; a job that trips " +
      "is POISONED, one that its capability profile does not allow has FAILED, and neither is handed out (section 6).",
    types: [
      ClaimAiJobsPayload,
      ...errorTypes<ErrorsOf<typeof claimAiJobs>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of claimAiJobs." },
    args: { input: t.arg({ type: ClaimAiJobsInput, required: true, description: "What to take, and who takes it." }) },
    resolve: (_root, { input }, { claimer, viewer, signal }) => {
      const { waitSeconds, jobKinds, ...rest } = input;
      const wanted = { ...rest, jobKinds: jobKinds ?? null, workspaceId: viewer.chosenWorkspaceId };
      return claimer.claim(wanted, waitSeconds * 1000, signal);
    },
  }),
);

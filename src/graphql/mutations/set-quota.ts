import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { type SetQuota, setQuota, WINDOW_SECONDS } from "../../quotas/quota.ts";
import type { QuotaUsage } from "../../quotas/usage.ts";
import { builder } from "../builder.ts";
import { QuotaResourceEnum } from "../enums.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { Quota } from "../types/quota.ts";

const SetQuotaInput = builder.inputType("SetQuotaInput", {
  description: "A quota. A workspace has at most one for each combination of capability profile, resource and window.",
  fields: (t) => ({
    capabilityProfileId: t.string({
      validate: boundedText(200).nullish(),
      description: "The capability profile whose jobs the quota counts; if left out, all jobs of the workspace.",
    }),
    resource: t.field({ type: QuotaResourceEnum, required: true, description: "The resource that the quota counts." }),
    max: t.field({
      type: "SafeInt",
      required: true,
      description: "The amount that may be used; 0 refuses everything.",
    }),
    windowSeconds: t.int({
      validate: z.int().min(WINDOW_SECONDS.min).max(WINDOW_SECONDS.max).nullish(),
      description:
        `The length of the rolling window in seconds: ${WINDOW_SECONDS.min} to ${WINDOW_SECONDS.max} (31 days). ` +
        "Required, except for ACTIVE_JOBS, which takes none.",
    }),
  }),
});

const SetQuotaPayload = builder.objectRef<{ readonly quota: QuotaUsage }>("SetQuotaPayload").implement({
  description: "The quota is set; it applies to every submit, start and claim from now on.",
  isTypeOf: isPayloadWith("quota"),
  fields: (t) => ({
    quota: t.expose("quota", { type: Quota, description: "The quota, with what is already used of it." }),
  }),
});

builder.mutationField("setQuota", (t) =>
  t.errorUnionField({
    permission: "QUOTAS_MANAGE",
    description:
      "Creates a quota of the workspace, or changes `max` of the existing one for the same profile, resource and window.",
    types: [
      SetQuotaPayload,
      ...errorTypes<ErrorsOf<typeof setQuota>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.UnknownCapabilityError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of setQuota." },
    args: { input: t.arg({ type: SetQuotaInput, required: true, description: "The quota to set." }) },
    resolve: async (_root, { input }, { engine, viewer }) => {
      const { capabilityProfileId = null, windowSeconds = null } = input;
      const quota = exact<SetQuota>()({ ...input, capabilityProfileId, windowSeconds });
      return { quota: orThrow(await setQuota(engine, viewer.workspaceId, quota)) };
    },
  }),
);

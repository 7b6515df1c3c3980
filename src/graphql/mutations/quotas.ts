import { z } from "zod";
import * as errors from "../../errors.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { deleteQuota, listQuotas, MAX_QUOTAS, setQuota, WINDOW_SECONDS } from "../../quotas/quota.ts";
import type { QuotaUsage } from "../../quotas/usage.ts";
import { builder } from "../builder.ts";
import { QuotaResourceEnum } from "../enums.ts";
import { errorTypes, isPayloadWith, orThrow } from "../result.ts";

const Quota = builder.objectRef<QuotaUsage>("Quota").implement({
  description:
    "The most that a workspace may use. Used up, it refuses submits and starts with BUDGET_EXCEEDED, and claims pass " +
    "over the workspace's jobs; what running jobs report is recorded all the same (section 6).",
  fields: (t) => ({
    quotaId: t.expose("id", { type: "UUID", description: "Its own id: a UUIDv7." }),
    capabilityProfileId: t.exposeString("capabilityProfileId", {
      nullable: true,
      description: "The capability profile whose jobs it counts; all of the workspace's jobs where null.",
    }),
    resource: t.expose("resource", { type: QuotaResourceEnum, description: "What it counts." }),
    max: t.expose("max", { type: "SafeInt", description: "How much may be used." }),
    windowSeconds: t.exposeInt("windowSeconds", {
      nullable: true,
      description: "How long the rolling window is; null for ACTIVE_JOBS, which is about this moment.",
    }),
    used: t.expose("used", {
      type: "SafeInt",
      description:
        "How much is used now; it can be more than `max`. What was used in a minute counts until all of that minute " +
        "has left the window.",
    }),
    freesAt: t.expose("freesAt", {
      type: "DateTime",
      nullable: true,
      description:
        "When there is room again, if nothing more is used until then; null while there is room, and where nobody can " +
        "tell: for ACTIVE_JOBS, and where `max` is 0.",
    }),
    createdAt: t.expose("createdAt", { type: "DateTime", description: "When it was first set." }),
    updatedAt: t.expose("updatedAt", { type: "DateTime", description: "When `max` was last set." }),
  }),
});

builder.queryField("quotas", (t) =>
  t.field({
    type: [Quota],
    description: `The workspace's quotas, oldest first; at most ${MAX_QUOTAS}.`,
    resolve: (_root, _args, { engine, viewer }) => listQuotas(engine.prisma, viewer.workspaceId),
  }),
);

const SetQuotaInput = builder.inputType("SetQuotaInput", {
  description: "A quota. There is one for each capability profile (or none), resource and window.",
  fields: (t) => ({
    capabilityProfileId: t.string({
      validate: boundedText(200).nullish(),
      description: "The capability profile whose jobs it counts; all of the workspace's jobs where left out.",
    }),
    resource: t.field({ type: QuotaResourceEnum, required: true, description: "What it counts." }),
    max: t.field({ type: "SafeInt", required: true, description: "How much may be used; 0 refuses everything." }),
    windowSeconds: t.int({
      validate: z.int().min(WINDOW_SECONDS.min).max(WINDOW_SECONDS.max).nullish(),
      description:
        `How long the rolling window is: ${WINDOW_SECONDS.min} to ${WINDOW_SECONDS.max} (31 days). Required, but ` +
        "for ACTIVE_JOBS, which takes none.",
    }),
  }),
});

const SetQuotaPayload = builder.objectRef<{ readonly quota: QuotaUsage }>("SetQuotaPayload").implement({
  description: "The quota holds for every submit and start from now on.",
  isTypeOf: isPayloadWith("quota"),
  fields: (t) => ({
    quota: t.expose("quota", { type: Quota, description: "The quota, with what is used of it already." }),
  }),
});

builder.mutationField("setQuota", (t) =>
  t.errorUnionField({
    description:
      "Makes a quota of the workspace, or changes `max` of the one for the same profile, resource and window.",
    types: [
      SetQuotaPayload,
      ...errorTypes<errors.UnknownCapabilityError, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.UnknownCapabilityError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of setQuota." },
    args: { input: t.arg({ type: SetQuotaInput, required: true, description: "The quota." }) },
    resolve: async (_root, { input }, { engine, viewer }) => {
      const { capabilityProfileId = null, windowSeconds = null } = input;
      const quota = await setQuota(engine, viewer.workspaceId, { ...input, capabilityProfileId, windowSeconds });
      return { quota: orThrow(quota) };
    },
  }),
);

const DeleteQuotaInput = builder.inputType("DeleteQuotaInput", {
  description: "Which quota is to go.",
  fields: (t) => ({ quotaId: t.field({ type: "UUID", required: true, description: "The quota's own id." }) }),
});

const DeleteQuotaPayload = builder.objectRef<{ readonly quotaId: string }>("DeleteQuotaPayload").implement({
  description: "The quota is gone; it refuses nothing any more.",
  isTypeOf: isPayloadWith("quotaId"),
  fields: (t) => ({ quotaId: t.expose("quotaId", { type: "UUID", description: "The id that it had." }) }),
});

builder.mutationField("deleteQuota", (t) =>
  t.errorUnionField({
    description: "Removes a quota of the workspace.",
    types: [DeleteQuotaPayload, ...errorTypes<errors.NotFoundError>()(errors.NotFoundError, errors.TryAgainError)],
    union: { description: "What came of deleteQuota." },
    args: { input: t.arg({ type: DeleteQuotaInput, required: true, description: "Which one." }) },
    resolve: async (_root, { input }, { engine, viewer }) => ({
      quotaId: orThrow(await deleteQuota(engine, viewer.workspaceId, input.quotaId)).id,
    }),
  }),
);

import * as errors from "../../errors.ts";
import { deleteQuota } from "../../quotas/quota.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { Quota } from "../types/quota.ts";

const DeleteQuotaInput = builder.inputType("DeleteQuotaInput", {
  description: "The quota to delete.",
  fields: (t) => ({ quotaId: t.field({ type: "UUID", required: true, description: "The quota's id." }) }),
});

const DeleteQuotaPayload = builder.objectRef<{ readonly quotaId: string }>("DeleteQuotaPayload").implement({
  description: "The quota is deleted and no longer applies.",
  isTypeOf: isPayloadWith("quotaId"),
  fields: (t) => ({
    quotaId: t.expose("quotaId", { type: "UUID", description: "The id of the deleted quota." }),
    // Not `id`: by that, Relay would take the payload for the quota, and delete it with the quota before it is read.
    deletedQuotaId: t.globalID({
      description:
        "The global id that the quota had: a normalised cache deletes its record by it (Relay: @deleteRecord).",
      resolve: ({ quotaId }) => ({ type: Quota, id: quotaId }),
    }),
  }),
});

builder.mutationField("deleteQuota", (t) =>
  t.errorUnionField({
    permission: "QUOTAS_MANAGE",
    description: "Deletes a quota of the workspace.",
    types: [
      DeleteQuotaPayload,
      ...errorTypes<ErrorsOf<typeof deleteQuota>>()(errors.NotFoundError, errors.TryAgainError),
    ],
    union: { description: "The result of deleteQuota." },
    args: { input: t.arg({ type: DeleteQuotaInput, required: true, description: "The quota to delete." }) },
    resolve: async (_root, { input }, { engine, viewer }) => ({
      quotaId: orThrow(await deleteQuota(engine, viewer.workspaceId, input.quotaId)).id,
    }),
  }),
);

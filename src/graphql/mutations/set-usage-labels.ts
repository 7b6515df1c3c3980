import { z } from "zod";
import type { Workspace as Row } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { labelKey } from "../../jobs/labels.ts";
import { MAX_USAGE_LABELS, setUsageLabels } from "../../totals/usage-labels.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { Workspace } from "../types/workspace.ts";

const usageLabels = z
  .array(labelKey)
  .max(MAX_USAGE_LABELS)
  .superRefine((keys, context) => {
    for (const [index, key] of keys.entries()) {
      if (keys.indexOf(key) < index)
        context.addIssue({ code: "custom", message: "is a key that stands before in the list", path: [index] });
    }
  });

const SetUsageLabelsInput = builder.inputType("SetUsageLabelsInput", {
  description: "The keys of labels by whose values the workspace counts its usage.",
  fields: (t) => ({
    keys: t.stringList({
      required: true,
      validate: usageLabels,
      description: `All of them, each once, in the order in which they are shown: at most ${MAX_USAGE_LABELS}; none to count by none.`,
    }),
  }),
});

const SetUsageLabelsPayload = builder.objectRef<{ readonly workspace: Row }>("SetUsageLabelsPayload").implement({
  description: "Usage is counted by these labels from now on.",
  isTypeOf: isPayloadWith("workspace"),
  fields: (t) => ({
    workspace: t.expose("workspace", { type: Workspace, description: "The workspace, with its usageLabels." }),
  }),
});

builder.mutationField("setUsageLabels", (t) =>
  t.errorUnionField({
    permission: "QUOTAS_MANAGE",
    description:
      "Declares by which labels `aiJobUsage` can group, instead of those declared before. A key that stays is counted on; a new one is " +
      "counted from now on, and what was used before is in no row of it, also where the key had been declared once (section 14).",
    types: [
      SetUsageLabelsPayload,
      ...errorTypes<ErrorsOf<typeof setUsageLabels>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of setUsageLabels." },
    args: { input: t.arg({ type: SetUsageLabelsInput, required: true, description: "The keys." }) },
    resolve: async (_root, { input: { keys } }, { engine, viewer }) => ({
      workspace: orThrow(await setUsageLabels(engine, viewer.workspaceId, keys)),
    }),
  }),
);

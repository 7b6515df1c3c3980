import { findQuotas } from "../../quotas/quota.ts";
import type { QuotaUsage } from "../../quotas/usage.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder } from "../builder.ts";
import { QuotaResourceEnum } from "../enums.ts";

export const Quota = builder.node(builder.objectRef<QuotaUsage>("Quota"), {
  extensions: { permission: "JOBS_READ" },
  id: { resolve: ({ id }) => id, description: "Global id (Relay)." },
  loadManyWithoutCache: async (ids, { engine, viewer }) => {
    const found = await findQuotas(engine.prisma, viewer.workspaceId, ids.map(uuidOrNil));
    return ids.map((id) => found.find((quota) => quota.id === id.toLowerCase()) ?? null);
  },
  description:
    "The most that a workspace may use of a resource. Once it is used up, submits and starts are refused with " +
    "BUDGET_EXCEEDED, and claims skip the workspace's jobs. What running jobs report is always recorded (section 6).",
  fields: (t) => ({
    quotaId: t.expose("id", { type: "UUID", description: "The quota's id: a UUIDv7." }),
    capabilityProfileId: t.exposeString("capabilityProfileId", {
      nullable: true,
      description: "The capability profile whose jobs the quota counts; null if it counts all jobs of the workspace.",
    }),
    resource: t.expose("resource", { type: QuotaResourceEnum, description: "The resource that the quota counts." }),
    max: t.expose("max", { type: "SafeInt", description: "The amount that may be used; the resource says of what." }),
    windowSeconds: t.exposeInt("windowSeconds", {
      nullable: true,
      description:
        "The length of the rolling window in seconds; null for ACTIVE_JOBS, which counts the present moment.",
    }),
    used: t.expose("used", {
      type: "SafeInt",
      description:
        "The amount used now; it can exceed `max`. Usage is counted by the minute: it counts until its whole minute has " +
        "left the window.",
    }),
    freesAt: t.expose("freesAt", {
      type: "DateTime",
      nullable: true,
      description:
        "When usage falls below `max`, if nothing more is used until then. Null while usage is below `max`, and where the " +
        "time cannot be known: for ACTIVE_JOBS, and if `max` is 0.",
    }),
    createdAt: t.expose("createdAt", { type: "DateTime", description: "When the quota was first set." }),
    updatedAt: t.expose("updatedAt", { type: "DateTime", description: "When `max` was last set." }),
  }),
});

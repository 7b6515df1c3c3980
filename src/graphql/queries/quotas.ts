import { listQuotas, MAX_QUOTAS } from "../../quotas/quota.ts";
import { builder } from "../builder.ts";
import { Quota } from "../types/quota.ts";

builder.queryField("quotas", (t) =>
  t.field({
    permission: "JOBS_READ",
    type: [Quota],
    description: `The workspace's quotas, oldest first; at most ${MAX_QUOTAS}.`,
    resolve: (_root, _args, { engine, viewer }) => listQuotas(engine.prisma, viewer.workspaceId),
  }),
);

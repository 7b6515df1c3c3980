import { NO_WORKSPACE, within } from "../../db/scope.ts";
import { builder } from "../builder.ts";
import { CapabilityProfile } from "../types/capability-profile.ts";

/** Far more profiles than any installation has: every list has a bound, so that no answer can grow without limit. */
const MAX_PROFILES = 1000;

builder.queryField("capabilityProfiles", (t) =>
  t.prismaField({
    permission: "ANY_PRINCIPAL",
    type: [CapabilityProfile],
    description: `All capability profiles, sorted by name; at most ${MAX_PROFILES}.`,
    resolve: (query, _root, _args, { engine }) =>
      within(NO_WORKSPACE, () =>
        engine.prisma.capabilityProfile.findMany({ ...query, orderBy: { id: "asc" }, take: MAX_PROFILES }),
      ),
  }),
);

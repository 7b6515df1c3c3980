import { builder } from "../builder.ts";
import { JobKindEnum } from "../enums.ts";

const CapabilityProfile = builder.prismaObject("CapabilityProfile", {
  description: "A named set of capabilities; the server decides whether it suffices (section 8).",
  fields: (t) => ({
    id: t.exposeID("id", { description: "Its name, as capabilityProfileId takes it." }),
    capabilities: t.exposeStringList("capabilities", { description: "What it grants, such as `doc.read`." }),
    jobKinds: t.expose("jobKinds", {
      type: [JobKindEnum],
      description: "Kinds that get it where a client names none.",
    }),
  }),
});

/** More than anybody could tell apart; no list here is read without a bound. */
const MAX_PROFILES = 1000;

builder.queryField("capabilityProfiles", (t) =>
  t.prismaField({
    type: [CapabilityProfile],
    description: "All capability profiles, by name.",
    resolve: (query, _root, _args, { engine }) =>
      engine.prisma.capabilityProfile.findMany({ ...query, orderBy: { id: "asc" }, take: MAX_PROFILES }),
  }),
);

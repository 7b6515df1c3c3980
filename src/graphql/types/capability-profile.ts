import { builder } from "../builder.ts";
import { JobKindEnum } from "../enums.ts";

export const CapabilityProfile = builder.prismaNode("CapabilityProfile", {
  extensions: { permission: "ANY_PRINCIPAL" },
  nullable: true,
  id: { field: "id", description: "Global id (Relay)." },
  description:
    "A named set of capabilities. The server, never the client, decides whether it suffices for a job (section 8).",
  fields: (t) => ({
    capabilityProfileId: t.exposeString("id", {
      description: "The profile's name, as a submit and AiJob give it.",
    }),
    capabilities: t.exposeStringList("capabilities", {
      description: "The capabilities that the profile grants, such as `doc.read`.",
    }),
    jobKinds: t.expose("jobKinds", {
      type: [JobKindEnum],
      description: "The job kinds that use this profile if a submit names none.",
    }),
  }),
});

import type { FlightRecorderEvent as Event } from "../../db/generated/client/client.ts";
import type { SecurityViolation as Violation } from "../../security/poison.ts";
import { builder } from "../builder.ts";
import { ViolationTypeEnum } from "../enums.ts";
import { FlightRecorderEvent } from "./flight-recorder-event.ts";

export const SecurityViolation = builder
  .objectRef<Violation & { readonly jobId: string; readonly event: Event }>("SecurityViolation")
  .implement({
    description: "What a guard found in content (section 5).",
    fields: (t) => ({
      violationType: t.expose("violationType", { type: ViolationTypeEnum, description: "The type of the violation." }),
      aceCode: t.exposeString("aceCode", { description: "The violation's public code, such as ACE-014." }),
      guardName: t.exposeString("guardName", { description: "The guard that found the violation." }),
      trigger: t.exposeString("trigger", { description: "What matched and where; never the scanned content." }),
      sourceId: t.exposeString("sourceId", {
        nullable: true,
        description: "The source of the snippet in which it was found; null for job inputs.",
      }),
      description: t.exposeString("description", { description: "An explanation for human readers." }),
      event: t.expose("event", { type: FlightRecorderEvent, description: "The event that recorded the violation." }),
    }),
  });

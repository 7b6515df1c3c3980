import { z } from "zod";
import type { AiJob } from "../db/generated/client/client.ts";
import { boundedText } from "./input-text.ts";

/** The schema of a reference to something outside this server, such as a document or a part of it (section 3). */
export const entityRefSchema = z.object({
  entityKind: boundedText(200),
  entityId: boundedText(500),
  selector: boundedText(2000).nullish(),
});

/** A reference to something outside this server. */
export type EntityRef = z.infer<typeof entityRefSchema>;

const storedRefsSchema = z.array(entityRefSchema);

/** @returns a job's `entity_refs`, validated at the submit. @throws ZodError if the stored value is malformed. */
export function entityRefsOf(job: Pick<AiJob, "entityRefs">): readonly EntityRef[] {
  return storedRefsSchema.parse(job.entityRefs);
}

/**
 * Decides whether a job's access mode allows what a report says was written (section 6). A reference without a selector covers
 * the whole entity; a reference with a selector covers only that part.
 * @param written the written entities that the report names.
 * @param count the report's number of written entities, which may be larger than the number of named ones.
 * @returns why it is not allowed; null where it is.
 */
export function checkWrites(
  job: Pick<AiJob, "accessMode" | "entityRefs">,
  written: readonly EntityRef[],
  count: number = written.length,
): string | null {
  if (written.length === 0 && count === 0) return null;
  switch (job.accessMode) {
    case "ANALYSIS_ONLY":
    case "PREVIEW_ONLY":
      return `A job that is ${job.accessMode} writes no entity.`;
    case "APPLY_SCOPED": {
      const scope = entityRefsOf(job);
      if (scope.length === 0) return "The job's entityRefs are empty: it writes no entity.";
      const outside = written.find((entity) => !scope.some((allowed) => covers(allowed, entity)));
      return outside ? `${outside.entityKind} ${outside.entityId} is not in the job's entityRefs.` : null;
    }
  }
}

function covers(allowed: EntityRef, entity: EntityRef): boolean {
  const isSameEntity = allowed.entityKind === entity.entityKind && allowed.entityId === entity.entityId;
  return isSameEntity && (allowed.selector == null || allowed.selector === entity.selector);
}

import { z } from "zod";
import type { AiJob } from "../db/generated/client/client.ts";
import { boundedText } from "./input-text.ts";

/** Something outside this server that a job reads or writes, such as one document or a part of it. */
export const entityRefSchema = z.object({
  entityKind: boundedText(200),
  entityId: boundedText(500),
  selector: boundedText(2000).nullish(),
});

export type EntityRef = z.infer<typeof entityRefSchema>;

const storedRefsSchema = z.array(entityRefSchema);

/** A job's `entity_refs`, as they were validated on the way in. */
export function entityRefsOf(job: Pick<AiJob, "entityRefs">): readonly EntityRef[] {
  return storedRefsSchema.parse(job.entityRefs);
}

/**
 * Why a job may not have written these entities; null where it may (section 6). A reference without a selector covers
 * the whole entity; one with a selector covers that part alone.
 * @param count how many a report says were written, by name or not.
 */
export function refuseWrites(
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

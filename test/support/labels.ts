import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { Label } from "../../src/db/job-labels.ts";

/** The labels of a job as they are stored, by key. */
export function labelsIn(prisma: PrismaClient, jobId: string): Promise<readonly Label[]> {
  return prisma.jobLabel.findMany({ where: { jobId }, orderBy: { key: "asc" }, select: { key: true, value: true } });
}

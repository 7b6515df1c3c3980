import { testSide } from "../support/database.ts";
import type { Real } from "./real.ts";
import type { Job } from "./world.ts";

/** Partial output (section 13), in the terms of the model: each chunk with its attempt and its sequence. */

export function outputOf({ state, runs }: Job): readonly string[] {
  if (state === "POISONED") return [];
  return runs.flatMap(({ attempt, output }) => output.map((text, index) => `${attempt}.${index + 1} ${text}`));
}

/** @returns what is stored, job by job. */
export async function storedOutputs({ engine, jobIds }: Real): Promise<readonly (readonly string[])[]> {
  const chunks = await testSide(engine).outputChunk.findMany({
    where: { jobId: { in: [...jobIds] } },
    orderBy: [{ attempt: "asc" }, { sequence: "asc" }],
  });
  return jobIds.map((jobId) =>
    chunks
      .filter((chunk) => chunk.jobId === jobId)
      .map(({ attempt, sequence, text }) => `${attempt}.${sequence} ${text}`),
  );
}

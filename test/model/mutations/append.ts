import fc from "fast-check";
import { appendOutput } from "../../../src/output/append.ts";
import { HOSTILE } from "../../support/jobs.ts";
import { mostly, reportStep } from "../draw.ts";
import { poison } from "../endings.ts";
import { injectionIn } from "../payload.ts";
import type { Real } from "../real.ts";
import { admit, type Report } from "../reports.ts";
import { type Answer, guardsOver, INVALID_INPUT, isRefusal } from "../rules.ts";
import { report } from "../step.ts";
import type { World } from "../world.ts";

interface Append extends Report {
  /** The sequence of the first text. */
  readonly first: number;
  readonly texts: readonly string[];
}

/** Section 13: partial output. What is there already counts once; nothing of it is a version or an event. */
const append = report<Append>("append", { expected, actual });

function expected(world: World, input: Append): Answer {
  const judged = admit(world, "append", input, "RUNNING", false);
  if (isRefusal(judged)) return judged;
  const { run, job } = judged;
  const { first, texts } = input;
  const known = run.output.length + 1 - first;
  if (known < 0) return INVALID_INPUT;
  const added = texts.slice(known);
  if (added.includes(HOSTILE)) {
    poison(world, job, injectionIn(null, "output"), guardsOver("hostile"));
    return { poisoned: job.number, version: job.version };
  }
  if (texts.slice(0, known).some((text, index) => run.output[first - 1 + index] !== text)) return INVALID_INPUT;
  run.output.push(...added);
  return { nextSequence: run.output.length + 1 };
}

async function actual(real: Real, { first, texts, ...proof }: Append): Promise<object> {
  const chunks = texts.map((text, index) => ({ sequence: first + index, text }));
  const result = await appendOutput(real.engine, { ...real.proof(proof), chunks });
  return real.answer(result, (appended) => {
    if ("nextSequence" in appended) return { nextSequence: appended.nextSequence };
    return { poisoned: real.numberOf(appended.job), version: appended.job.version };
  });
}

const chunks = fc.record({
  /** How far the first text is from what would be next. */
  from: fc.constantFrom(...mostly(6, 0, -1, -2, 1)),
  texts: fc.array(fc.constantFrom(...mostly(10, "So far, so good. ", "More of it. ", HOSTILE)), {
    minLength: 1,
    maxLength: 3,
  }),
});

export const appends = reportStep(chunks, (proof, { from, texts }, run) =>
  append({ ...proof, reportId: null, first: Math.max(1, (run?.output.length ?? 0) + 1 + from), texts }),
);

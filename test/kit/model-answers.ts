import { z } from "zod";
import { readText } from "../support/documents.ts";

/** Answers of models, with what both kits take from each: null for what is no such answer. */
export const MODEL_ANSWERS = z
  .array(
    z.object({
      of: z.string(),
      answer: z.unknown(),
      usage: z.record(z.string(), z.union([z.string(), z.number()])).nullable(),
    }),
  )
  .parse(JSON.parse(readText("test/kit/model-answers.json")));

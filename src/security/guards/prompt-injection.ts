import { inThread, LARGE_CHARACTERS } from "../../threads/pool.ts";
import { costOf, type Guard, type GuardAnswer, type GuardContent, toJson } from "./guard.ts";
import { type ScanOutcome, scanContent } from "./scan-content.ts";

/**
 * Seeks injections in every text (section 7): the built-in patterns and those of the job's capability profile, as whole words in
 * four forms, and overrides by a grammar, also in what a text says when its disguises are taken off. Each finding raises ACE-014.
 * A text that only quotes an injection is found, too: the guard compares words and cannot know what a text is meant for.
 */
export const promptInjectionGuard: Guard = { name: "PromptInjectionGuard", check };

async function check(content: GuardContent, signal?: AbortSignal): Promise<GuardAnswer> {
  const isLarge = costOf(content, LARGE_CHARACTERS) >= LARGE_CHARACTERS;
  return answerTo(isLarge ? await inThread("scan", toJson(content), signal) : scanContent(content));
}

function answerTo({ error, charactersLeftOut }: ScanOutcome): GuardAnswer {
  if (error !== null || charactersLeftOut === 0) return error;
  const reason = `${charactersLeftOut} encoded characters were not looked at: they are nested too deep, or too many.`;
  return { code: "PARTLY_CHECKED", reason };
}

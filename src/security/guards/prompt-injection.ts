import type { AceError, Guard, GuardContent, GuardedText } from "./guard.ts";
import { formsFor } from "./patterns.ts";
import { type Injection, scanText } from "./scan-text.ts";

/**
 * Seeks injections in every text (section 7): the built-in patterns and those of the job's capability profile, as whole words in
 * four forms, and overrides by a grammar, also in what a text says when its disguises are taken off. Each finding raises ACE-014.
 * A text that only quotes an injection is found, too: the guard compares words and cannot know what a text is meant for.
 */
export const promptInjectionGuard: Guard = { name: "PromptInjectionGuard", check };

const builtInForms = formsFor([]);

// A scan yields to the event loop after this many characters, a few milliseconds of work. So another request waits at most for
// one such tick, or for one form of one long text.
const maxCharsPerTick = 64 * 1024;
// Scanning even a short text takes some time, and a request can bring a million texts: so each text counts as this many
// additional characters.
const charsPerTextOverhead = 30;

async function check(content: GuardContent, signal?: AbortSignal): Promise<AceError | null> {
  const forms = content.patterns.length === 0 ? builtInForms : formsFor(content.patterns);
  let charsInTick = 0;
  for (const text of content.texts) {
    const scan = scanText(text, forms);
    for (let step = scan.next(); ; step = scan.next()) {
      if (step.done === true) {
        if (step.value !== null) return injectionFound(text, step.value);
        break;
      }
      charsInTick += step.value + charsPerTextOverhead;
      if (charsInTick < maxCharsPerTick) continue;
      charsInTick = 0;
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
  }
  return null;
}

function injectionFound({ path, sourceId }: GuardedText, { trigger, description }: Injection): AceError {
  return {
    code: "ACE-014",
    violationType: "PROMPT_INJECTION",
    trigger: `${trigger} of ${path}`,
    description: `${path}: ${description}`,
    sourceId,
  };
}

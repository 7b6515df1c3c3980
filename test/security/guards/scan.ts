import type { AceError, GuardContent } from "../../../src/security/guards/guard.ts";
import { promptInjectionGuard } from "../../../src/security/guards/prompt-injection.ts";

/** What PromptInjectionGuard raises for some content; null where it passes, even where it could not look at all of it. */
export async function findingIn(content: GuardContent): Promise<AceError | null> {
  const answer = await promptInjectionGuard.check(content);
  return answer?.code === "PARTLY_CHECKED" ? null : answer;
}

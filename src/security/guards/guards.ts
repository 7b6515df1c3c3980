import type { Guard } from "./guard.ts";
import { promptInjectionGuard } from "./prompt-injection.ts";

/** The guards, in the order in which they run. */
export const guards: readonly Guard[] = [promptInjectionGuard];

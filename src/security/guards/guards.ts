import type { Guard } from "./guard.ts";
import { promptInjectionGuard } from "./prompt-injection.ts";

/** The guards of this server, in the order in which they run (section 7). */
export const guards: readonly Guard[] = [promptInjectionGuard];

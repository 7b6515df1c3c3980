import { english } from "./en.ts";
import type { Grammar } from "./grammar.ts";

/** The grammars of all languages. */
export const grammars: readonly Grammar[] = [english];

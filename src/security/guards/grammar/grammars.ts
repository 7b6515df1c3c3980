import { arabic } from "./ar.ts";
import { german } from "./de.ts";
import { english } from "./en.ts";
import { spanish } from "./es.ts";
import { french } from "./fr.ts";
import type { Grammar } from "./grammar.ts";
import { hindi } from "./hi.ts";
import { indonesian } from "./id.ts";
import { italian } from "./it.ts";
import { japanese } from "./ja.ts";
import { korean } from "./ko.ts";
import { dutch } from "./nl.ts";
import { polish } from "./pl.ts";
import { portuguese } from "./pt.ts";
import { russian } from "./ru.ts";
import { turkish } from "./tr.ts";
import { vietnamese } from "./vi.ts";
import { chinese } from "./zh.ts";

/** The grammars of all languages. */
export const grammars: readonly Grammar[] = [
  english,
  german,
  french,
  spanish,
  portuguese,
  italian,
  dutch,
  polish,
  russian,
  turkish,
  vietnamese,
  indonesian,
  arabic,
  hindi,
  chinese,
  japanese,
  korean,
];

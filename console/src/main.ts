/** The page's first script: small, so that what the first view needs is asked for before the rest is there. */
import "./early.ts";
import "./style.css";

void import("./page.tsx");

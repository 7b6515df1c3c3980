import { readFileSync, writeFileSync } from "node:fs";
import { parse, print, visit } from "graphql";
import { RELEASED_FILE, SCHEMA_FILE } from "./schema-text.ts";

/** No description breaks a client, and without them the file is short. */
const bare = visit(parse(readFileSync(SCHEMA_FILE, "utf8")), {
  enter: (node) => ("description" in node ? { ...node, description: undefined } : undefined),
});
const head = "# The schema of the last release: `npm run schema:release` writes it, and nobody by hand.\n\n";
writeFileSync(RELEASED_FILE, `${head}${print(bare)}\n`);

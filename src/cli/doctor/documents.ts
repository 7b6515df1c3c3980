import type { Config } from "../../config.ts";
import { explain } from "../../explain.ts";
import { readTrustedDocuments } from "../../http/trusted-documents.ts";
import type { Finding } from "./finding.ts";

/** @returns what is in the manifest of trusted documents, as the server would read it; nothing where there is to be none. */
export async function documentFindings({ trustedDocuments }: Config): Promise<readonly Finding[]> {
  if (trustedDocuments === undefined) return [];
  const check = "trusted documents";
  try {
    const { size } = await readTrustedDocuments(trustedDocuments);
    return [
      {
        check,
        state: "ok",
        text: `The manifest has ${size} documents, and no others are executed but the kits' and the console's.`,
      },
    ];
  } catch (error) {
    return [{ check, state: "failed", text: explain(error) }];
  }
}

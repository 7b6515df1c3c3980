import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DOCUMENTS, DOCUMENTS_FOLDER } from "../../examples/demo/documents.ts";
import { chunksOf } from "../../examples/worker/chunks.ts";
import { countTokens } from "../../examples/worker/tokens.ts";
import { promptInjectionGuard } from "../../src/guards/prompt-injection.ts";

const constitution = readFileSync(join(DOCUMENTS_FOLDER, "us-constitution.txt"), "utf8");

test.each(DOCUMENTS.map(({ name }) => name))("the chunks of %s, without what they share, are the document", (name) => {
  const text = readFileSync(join(DOCUMENTS_FOLDER, name), "utf8");
  const chunks = chunksOf(text, { mostTokens: 100, overlap: 0 });
  expect(chunks.length).toBeGreaterThan(2);
  expect(chunks.join("")).toBe(text);
});

test("a chunk has at most its tokens, the overlap not counted", () => {
  for (const chunk of chunksOf(constitution, { mostTokens: 300, overlap: 0 })) {
    // Pieces that were counted apart may be a token less, or more, together.
    expect(countTokens(chunk)).toBeLessThanOrEqual(310);
  }
});

test("each chunk begins with the end of the one before", () => {
  const chunks = chunksOf(constitution);
  for (const [index, chunk] of chunks.slice(1).entries()) {
    expect(chunk.startsWith(chunks[index]?.slice(-400) ?? "none")).toBe(true);
  }
});

test("an attack is whole in one chunk, wherever in the document it stands", async () => {
  const attack = "I g\u200bn\u00ado r e\u3000p r e v i o u s".replaceAll(" ", "").replace("\u3000", " \n\n ");
  for (let at = 0; at < 3000; at += 61) {
    const text = `${constitution.slice(0, at)} ${attack} ${constitution.slice(at, 6000)}`;
    const found: unknown[] = [];
    for (const chunk of chunksOf(text, { mostTokens: 150, overlap: 400 })) {
      found.push(await promptInjectionGuard.check({ texts: [{ sourceId: null, path: "", text: chunk }], patterns: [] }));
    }


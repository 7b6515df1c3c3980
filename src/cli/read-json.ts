import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { CommandError } from "./errors.ts";

/**
 * Reads a JSON value that an option or an argument gives.
 * @param given the JSON itself, `@` and the name of a file that has it, or `-` for standard input.
 */
export async function readJson(given: string): Promise<unknown> {
  const [content, where] = await textOf(given);
  try {
    return JSON.parse(content);
  } catch (error) {
    throw new CommandError(`${where} is no JSON: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

async function textOf(given: string): Promise<readonly [content: string, where: string]> {
  if (given === "-") return [await text(process.stdin), "Standard input"];
  if (!given.startsWith("@")) return [given, "The value"];
  const file = given.slice(1);
  try {
    return [await readFile(file, "utf8"), file];
  } catch (error) {
    throw new CommandError(`The file cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

/** @returns what a model is called everywhere: its provider, where one is told, and its name. */
export function modelName(provider: string | null, model: string | null): string {
  return [provider, model].filter(Boolean).join(" ").replaceAll(/\s+/g, " ").trim();
}

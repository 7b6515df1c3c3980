/** Some settings cannot be used; the message names each, and what would be accepted. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";

  /** @param problems sentences, each beginning with the name of a setting. */
  constructor(...problems: readonly string[]) {
    super(["The server cannot start with these settings:", ...problems.map((problem) => `  ${problem}`)].join("\n"));
  }
}

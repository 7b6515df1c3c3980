import { Command } from "@commander-js/extra-typings";

/** `serve`: the server itself, with the environment variables of docs/configuration.md. */
export function serveCommand() {
  return new Command("serve")
    .description("Serves the API until SIGTERM; its settings are environment variables (docs/configuration.md).")
    .exitOverride()
    .action(async () => {
      // Imported on demand: no other command needs the server.
      await import("../main.ts");
    });
}

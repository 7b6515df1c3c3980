import type { ReactNode } from "react";
import { addressOf } from "../api/place.ts";
import { Copy } from "./copy.tsx";

export interface EmptyProps {
  readonly children: ReactNode;
  /** A command of `ai-job-server`; the server that it asks is added. */
  readonly command?: string;
  /** How there might be something. */
  readonly hint?: string;
}

/** What stands where there is nothing yet: why, and the command that would change that. */
export function Empty({ children, command, hint }: EmptyProps) {
  return (
    <div className="notice">
      <p>{children}</p>
      {hint && <p className="quiet">{hint}</p>}
      {command && <Command text={`npx ai-job-server ${command}${atThisServer()}`} />}
    </div>
  );
}

function Command({ text }: { readonly text: string }) {
  return (
    <p className="command">
      <code>{text}</code> <Copy text={text} what="command" />
    </p>
  );
}

/** The server that commands ask where they are not told of another one. */
const DEFAULT_URL = "http://127.0.0.1:4000/graphql";

/** @returns the option by which a command asks the server of this page; nothing where it does anyway. */
function atThisServer(): string {
  const url = addressOf("graphql");
  return url === DEFAULT_URL || url === DEFAULT_URL.replace("127.0.0.1", "localhost") ? "" : ` --url ${url}`;
}

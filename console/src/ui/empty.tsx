import type { ReactNode } from "react";
import { Copy } from "./copy.tsx";

export interface EmptyProps {
  readonly children: ReactNode;
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
      {command && (
        <p className="command">
          <code>{command}</code> <Copy text={command} what="command" />
        </p>
      )}
    </div>
  );
}

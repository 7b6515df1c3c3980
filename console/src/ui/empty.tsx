import type { ReactNode } from "react";
import { Copy } from "./copy.tsx";

/** What stands where there is nothing yet: why, and the command that would change that. */
export function Empty({ children, command }: { readonly children: ReactNode; readonly command?: string }) {
  return (
    <div className="notice">
      <p>{children}</p>
      {command && (
        <p className="command">
          <code>{command}</code> <Copy text={command} what="command" />
        </p>
      )}
    </div>
  );
}

import { codeOf, readErrorOf } from "../api/errors.ts";
import { Button } from "./button.tsx";

/** What stands where something could not be read: why, and what can be done. */
export function Failure({ error, retry }: { readonly error: unknown; readonly retry?: () => void }) {
  const code = codeOf(error);
  if (code === "FORBIDDEN") return <Forbidden why={readErrorOf(error)} />;
  return (
    <div className="notice notice-error" role="alert">
      <p>
        {code && <code>{code}</code>} {readErrorOf(error)}
      </p>
      {retry && <Button onPress={retry}>Try again</Button>}
    </div>
  );
}

/** What stands where the person's key does not allow something. */
export function Forbidden({ why }: { readonly why: string }) {
  return (
    <div className="notice" role="note">
      <p>{why}</p>
      <p className="quiet">Whoever made your key can give you one with another role.</p>
    </div>
  );
}

import { useState } from "react";
import { Button } from "./button.tsx";

const SAID_MS = 2000;

/** Puts a text into the clipboard. On a page without TLS a browser has none for scripts, and the person copies it from a dialog. */
export function Copy({ text, what }: { readonly text: string; readonly what: string }) {
  const [said, setSaid] = useState<string | null>(null);
  const copy = () => {
    void copyText(text).then((isCopied) => {
      setSaid(isCopied ? "Copied" : "Not copied");
      setTimeout(() => setSaid(null), SAID_MS);
    });
  };
  return (
    <Button look="plain" aria-label={`Copy the ${what}`} onPress={copy}>
      {said ?? "Copy"}
    </Button>
  );
}

async function copyText(text: string): Promise<boolean> {
  // Undefined on a page without TLS, whatever its types say.
  const clipboard: Clipboard | undefined = navigator.clipboard;
  if (clipboard !== undefined)
    return clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  // The browser's own dialog, with the text selected in it.
  return window.prompt("To copy it:", text) !== null;
}

import { Button } from "../ui/button.tsx";
import { Copy } from "../ui/copy.tsx";
import { Dialog } from "../ui/dialog.tsx";

/** Shows what proves a key, this once: nobody has it but who copies it now. */
export function Secret({ secret, onClose }: { readonly secret: string; readonly onClose: () => void }) {
  return (
    <Dialog title="The key’s secret" isOpen isKept onClose={onClose}>
      <p>It is shown only once: the server keeps only its hash. Put it where the program finds it, and nowhere else.</p>
      <p className="command">
        <code>{secret}</code> <Copy text={secret} what="secret" />
      </p>
      <div className="bar">
        <Button look="primary" onPress={onClose}>
          I have it
        </Button>
      </div>
    </Dialog>
  );
}

import type { ReactNode } from "react";
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from "react-aria-components";

export interface DialogProps {
  readonly title: string;
  readonly isOpen: boolean;
  readonly onClose: () => void;
  /** Only a button in it closes it: for what cannot be had again. */
  readonly isKept?: boolean;
  /** Something may have been typed into it: a click beside it does not throw that away. */
  readonly hasForm?: boolean;
  readonly children: ReactNode;
}

/** Asks for something before the page goes on. Escape closes it, and so does a click beside it where nothing is typed; the focus goes back to where it was. */
export function Dialog({ title, isOpen, onClose, isKept = false, hasForm = false, children }: DialogProps) {
  return (
    <ModalOverlay
      isOpen={isOpen}
      onOpenChange={(open) => open || onClose()}
      isDismissable={!isKept && !hasForm}
      isKeyboardDismissDisabled={isKept}
      className="overlay"
    >
      <Modal className="modal">
        <AriaDialog className="dialog">
          <Heading slot="title">{title}</Heading>
          {children}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

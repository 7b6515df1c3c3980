import type { ReactNode } from "react";
import { Form } from "react-aria-components";
import type { Action } from "../api/use-action.ts";
import { Button } from "./button.tsx";
import { Dialog } from "./dialog.tsx";
import { Refused } from "./refused.tsx";

export interface DialogFormProps {
  /** What the button says that does it. */
  readonly verb: string;
  readonly look?: "primary" | "danger";
  readonly action: Action;
  /** The fields at which a fault is shown already. */
  readonly fields?: readonly string[];
  readonly isDisabled?: boolean;
  readonly onSubmit: () => void;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

export interface FormDialogProps extends DialogFormProps {
  readonly title: string;
}

/** Asks for what an action needs, does it, and says why it was refused. */
export function FormDialog({ title, ...form }: FormDialogProps) {
  return (
    <Dialog title={title} isOpen hasForm onClose={form.onClose}>
      <DialogForm {...form} />
    </Dialog>
  );
}

/** The form of such a dialog, for one that has shown something else before. */
export function DialogForm({
  verb,
  look = "primary",
  action: { failure, isBusy },
  fields = [],
  isDisabled = false,
  onSubmit,
  onClose,
  children,
}: DialogFormProps) {
  return (
    <Form
      className="form"
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit();
      }}
    >
      {children}
      <Refused error={failure} fields={fields} />
      <div className="bar">
        <Button look={look} type="submit" isBusy={isBusy} isDisabled={isDisabled}>
          {verb}
        </Button>
        <Button onPress={onClose}>Leave it</Button>
      </div>
    </Form>
  );
}

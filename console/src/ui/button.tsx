import type { ReactNode } from "react";
import { Button as AriaButton, type ButtonProps as AriaButtonProps } from "react-aria-components";

export interface ButtonProps extends Omit<AriaButtonProps, "children"> {
  /** `primary` for what the view is for, `danger` for what cannot be taken back. */
  readonly look?: "primary" | "danger" | "plain";
  /** What it does is under way. It keeps the focus, and whoever acts on it takes no second press. */
  readonly isBusy?: boolean;
  readonly children?: ReactNode;
}

export function Button({ look, isBusy = false, children, ...props }: ButtonProps) {
  return (
    <AriaButton {...props} className={look ? `button button-${look}` : "button"}>
      {children}
      {isBusy && "…"}
    </AriaButton>
  );
}

import { Button as AriaButton, type ButtonProps as AriaButtonProps } from "react-aria-components";

export interface ButtonProps extends AriaButtonProps {
  /** `primary` for what the view is for, `danger` for what cannot be taken back. */
  readonly look?: "primary" | "danger" | "plain";
}

export function Button({ look, ...props }: ButtonProps) {
  return <AriaButton {...props} className={look ? `button button-${look}` : "button"} />;
}

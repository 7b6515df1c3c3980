import { type ReactNode, useId, useState } from "react";
import { Button } from "./button.tsx";

/** What is there for those who ask for it. */
export function Fold({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  const [isOpen, setIsOpen] = useState(false);
  const id = useId();
  return (
    <>
      <div>
        <Button aria-expanded={isOpen} aria-controls={id} onPress={() => setIsOpen(!isOpen)}>
          {title} <span aria-hidden="true">{isOpen ? "▾" : "▸"}</span>
        </Button>
      </div>
      <div id={id}>{isOpen && children}</div>
    </>
  );
}

import type { ReactNode } from "react";

/** What may be wider than the page, such as a table on a phone: it scrolls by itself. */
export function Scrolls({ label, children }: { readonly label: string; readonly children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
    <section className="scrolls" tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}

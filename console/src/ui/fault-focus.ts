import { type RefObject, useEffect, useRef } from "react";

/**
 * Leads to what is to be put right: with each new finding the first faulty field gets the focus, and so comes into sight.
 * @param faults what was found at the last try; another map for each try.
 * @returns what the form has to be given as its `ref`.
 */
export function useFaultFocus(faults: ReadonlyMap<string, string>): RefObject<HTMLFormElement | null> {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (faults.size > 0) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [faults]);
  return form;
}

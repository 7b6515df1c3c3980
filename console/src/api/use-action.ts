import { useRef, useState } from "react";

/** Something that the person has asked for: whether it is under way, and why the last try failed. */
export interface Action {
  readonly isBusy: boolean;
  /** What it was refused by; null where it was not. */
  readonly failure: unknown;
  readonly run: (work: () => Promise<void>) => void;
}

export function useAction(): Action {
  const [isBusy, setIsBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  // What is under way is not done a second time, however often the button is pressed.
  const isUnderWay = useRef(false);
  const run = (work: () => Promise<void>) => {
    if (isUnderWay.current) return;
    isUnderWay.current = true;
    setIsBusy(true);
    setFailure(null);
    void work()
      .catch((error: unknown) => setFailure(() => error))
      .finally(() => {
        isUnderWay.current = false;
        setIsBusy(false);
      });
  };
  return { isBusy, failure, run };
}

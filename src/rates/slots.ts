/** Counts what each principal has open at once, in this process. */
export class Slots {
  readonly #max: number;
  readonly #open = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** @returns what gives the slot back, once or more often; undefined where the principal has no more. */
  take(principal: string): (() => void) | undefined {
    const open = this.#open.get(principal) ?? 0;
    if (open >= this.#max) return undefined;
    this.#open.set(principal, open + 1);
    let isOpen = true;
    return () => {
      if (isOpen) this.#giveBack(principal);
      isOpen = false;
    };
  }

  #giveBack(principal: string): void {
    const open = (this.#open.get(principal) ?? 0) - 1;
    if (open > 0) this.#open.set(principal, open);
    else this.#open.delete(principal);
  }
}

/**
 * How many objects to ask for at once. A store limits a page by their number only, and each may be as large as the store
 * takes it: pages shrink after one that was heavy or did not come, and grow while they are light.
 */

/** Bytes of a page that is heavy enough. */
const ENOUGH = 2 * 1024 * 1024;

export class PageSize {
  readonly #first: number;
  readonly #most: number;
  #limit: number;

  /** Objects in the first page, and at most. */
  constructor(first: number, most: number) {
    this.#first = first;
    this.#most = most;
    this.#limit = first;
  }

  get limit(): number {
    return this.#limit;
  }

  /** A page of so many bytes came. */
  came(bytes: number): void {
    const fits = Math.floor((this.#limit * ENOUGH) / Math.max(1, bytes));
    this.#limit = Math.max(1, Math.min(this.#most, this.#limit * 4, fits));
  }

  /** None came, and it may be that it was too much. False: it was a single object. */
  failed(): boolean {
    if (this.#limit === 1) return false;
    this.#limit = Math.ceil(this.#limit / 8);
    return true;
  }

  /** Another list begins. One that began too large does not begin so again. */
  restart(): void {
    this.#limit = Math.min(this.#first, this.#limit);
  }
}

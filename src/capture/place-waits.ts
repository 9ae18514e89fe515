/** Who waits until a place in the server's log is reached. */
interface Waiter {
  readonly position: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class PlaceWaits {
  #waiters: Waiter[] = [];

  get empty(): boolean {
    return this.#waiters.length === 0;
  }

  /** Whether somebody waits for a later place. */
  beyond(position: number): boolean {
    return this.#waiters.some((waiter) => waiter.position > position);
  }

  add(position: number): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ position, resolve, reject }));
  }

  reached(position: number): void {
    if (this.#waiters.length === 0) return;
    const waiting: Waiter[] = [];
    for (const waiter of this.#waiters) {
      if (waiter.position <= position) waiter.resolve();
      else waiting.push(waiter);
    }
    this.#waiters = waiting;
  }

  /** Nobody waits any more: `error` is why, or null where the end is as good as the place. */
  end(error: Error | null): void {
    for (const { resolve, reject } of this.#waiters.splice(0)) {
      if (error === null) resolve();
      else reject(error);
    }
  }
}

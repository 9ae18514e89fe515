/**
 * A queue with a bound: `push` waits while it is full, `shift` while it is empty. First in, first out, also among
 * those who wait.
 */
import { invariant } from "./errors.ts";

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

export class BoundedQueue<T> {
  readonly #sizeMax: number;
  readonly #sizeOf: (item: T) => number;
  #items: T[] = [];
  #head = 0;
  #size = 0;
  #closed: { readonly reason: unknown } | undefined;
  readonly #takers: Waiter<T | undefined>[] = [];
  readonly #givers: (Waiter<void> & { readonly item: T })[] = [];

  /** `sizeOf` says what an item counts (1 each unless given); one item larger than the bound passes when the queue is empty. */
  constructor(sizeMax: number, sizeOf: (item: T) => number = () => 1) {
    invariant(sizeMax > 0, "a queue holds something");
    this.#sizeMax = sizeMax;
    this.#sizeOf = sizeOf;
  }

  get size(): number {
    return this.#size;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** False when it is full or closed; never waits. */
  offer(item: T): boolean {
    if (this.#closed || this.#givers.length > 0 || !this.#fits(item)) return false;
    this.#accept(item);
    return true;
  }

  /** Resolves when the item is in the queue. Rejects with the reason given to `close`. */
  push(item: T): Promise<void> {
    if (this.#closed) return Promise.reject(this.#closed.reason);
    if (this.offer(item)) return Promise.resolve();
    return new Promise((resolve, reject) => this.#givers.push({ item, resolve, reject }));
  }

  /** The next item; undefined when the queue was closed and all that was in it has been taken. */
  shift(): Promise<T | undefined> {
    if (this.length > 0) return Promise.resolve(this.#take());
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  /** What is in the queue can still be taken; those who wait to push are refused with `reason`. */
  close(reason: unknown = new Error("the queue is closed")): void {
    if (this.#closed) return;
    this.#closed = { reason };
    for (const giver of this.#givers.splice(0)) giver.reject(reason);
    for (const taker of this.#takers.splice(0)) taker.resolve(undefined);
  }

  #fits(item: T): boolean {
    return this.length === 0 || this.#size + this.#sizeOf(item) <= this.#sizeMax;
  }

  #accept(item: T): void {
    const taker = this.#takers.shift();
    if (taker) {
      taker.resolve(item);
      return;
    }
    this.#items.push(item);
    this.#size += this.#sizeOf(item);
  }

  #take(): T {
    const item = this.#items[this.#head++] as T;
    this.#items[this.#head - 1] = undefined as T;
    this.#size -= this.#sizeOf(item);
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    for (let giver = this.#givers[0]; giver && this.#fits(giver.item); giver = this.#givers[0]) {
      this.#givers.shift();
      this.#accept(giver.item);
      giver.resolve();
    }
    return item;
  }
}

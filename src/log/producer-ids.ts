/**
 * Hands out producer ids, each once for ever: they are reserved by a durable record, many at a time, so that handing one out
 * costs nothing. What was reserved when the log went down counts as handed out.
 */
const idsPerReservation = 1000;

export class ProducerIds {
  readonly #reserve: (nextProducerId: number) => Promise<void>;
  #next = 1;
  #reservedTo = 1;
  #reserving: Promise<void> | undefined;

  /** `reserve` makes durable that ids below the given one may be in use. */
  constructor(reserve: (nextProducerId: number) => Promise<void>) {
    this.#reserve = reserve;
  }

  /** What a checkpoint keeps: an id that was taken without a reservation counts too. */
  get reservedTo(): number {
    return Math.max(this.#reservedTo, this.#next);
  }

  /** Read back: smaller ones may have been handed out. */
  reserved(nextProducerId: number): void {
    this.#reservedTo = Math.max(this.#reservedTo, nextProducerId);
  }

  /** This one is in use. */
  used(producerId: number): void {
    this.#next = Math.max(this.#next, producerId + 1);
  }

  /** Behind all that may have been handed out. */
  start(): void {
    this.#next = this.#reservedTo = this.reservedTo;
  }

  async take(): Promise<number> {
    while (this.#next >= this.#reservedTo) {
      this.#reserving ??= this.#more().finally(() => {
        this.#reserving = undefined;
      });
      await this.#reserving;
    }
    return this.#next++;
  }

  /** For a record that names it, and so reserves it. */
  takeUnreserved(): number {
    return this.#next++;
  }

  async #more(): Promise<void> {
    const to = this.#next + idsPerReservation;
    await this.#reserve(to);
    this.reserved(to);
  }
}

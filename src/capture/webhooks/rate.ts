/** A bucket of tokens that fills at a rate and holds twice as many as a second brings. */
export class RateBucket {
  readonly #perSecond: number;
  readonly #max: number;
  #tokens: number;
  #atMs: number;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#max = Math.max(1, perSecond * 2);
    this.#tokens = this.#max;
    this.#atMs = nowMs;
  }

  /** Seconds, at least 1, until there is a token; 0 when there is one. Takes none. */
  waitSeconds(nowMs: number): number {
    this.#fill(nowMs);
    return this.#tokens >= 1 ? 0 : Math.max(1, Math.ceil((1 - this.#tokens) / this.#perSecond));
  }

  /** False when there is none. */
  take(nowMs: number): boolean {
    this.#fill(nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  #fill(nowMs: number): void {
    const elapsedMs = nowMs - this.#atMs;
    if (elapsedMs <= 0) return;
    this.#tokens = Math.min(this.#max, this.#tokens + (elapsedMs / 1_000) * this.#perSecond);
    this.#atMs = nowMs;
  }
}

/**
 * How long change rows are kept: an hour or 256 MB, whichever ends first. Pure bookkeeping over batches in buckets, so
 * that its memory is bounded whatever the rate of batches.
 */
export interface RetentionLimits {
  readonly keepMs: number;
  readonly keepBytes: number;
}

export const defaultRetention: RetentionLimits = { keepMs: 3_600_000, keepBytes: 256 * 1024 * 1024 };

const bucketsPerLimit = 256;

interface Bucket {
  lastBatch: number;
  bytes: number;
  readonly beganMs: number;
  lastMs: number;
}

export class Retention {
  readonly #limits: RetentionLimits;
  #buckets: Bucket[] = [];
  #bytes = 0;

  constructor(limits: RetentionLimits) {
    this.#limits = limits;
  }

  /** Batches come in their order. */
  add(batch: number, bytes: number, committedMs: number): void {
    const { keepMs, keepBytes } = this.#limits;
    this.#bytes += bytes;
    const last = this.#buckets.at(-1);
    const full =
      !last || last.bytes >= keepBytes / bucketsPerLimit || committedMs - last.beganMs >= keepMs / bucketsPerLimit;
    if (full) this.#buckets.push({ lastBatch: batch, bytes, beganMs: committedMs, lastMs: committedMs });
    else {
      last.lastBatch = batch;
      last.bytes += bytes;
      last.lastMs = committedMs;
    }
  }

  /** The last batch whose change rows may go now, or null. It and all before are forgotten here. The newest batch always stays. */
  expire(nowMs: number): number | null {
    const { keepMs, keepBytes } = this.#limits;
    let expired: number | null = null;
    for (let first = this.#buckets[0]; first && this.#buckets.length > 1; first = this.#buckets[0]) {
      if (this.#bytes <= keepBytes && nowMs - first.lastMs <= keepMs) break;
      this.#buckets.shift();
      this.#bytes -= first.bytes;
      expired = first.lastBatch;
    }
    return expired;
  }
}

/**
 * How many bytes a second each client may write and read. Who goes beyond is never refused: the answer says for how
 * long the client is to be left waiting, until its average is within the quota again (KIP-124, KIP-219).
 *
 * A token bucket per client and kind: it holds the bytes of `windowMs` at most, so that a client may be that far ahead,
 * and what was taken beyond is a debt that is paid off at the quota's rate. Time is monotonic; the wall clock may jump.
 * Not here: the waiting, and who may change quotas.
 */
import type { Clock } from "../base/clock.ts";

export type QuotaKind = "produce" | "fetch";

export interface QuotaLimits {
  /** The span over which the average counts. */
  readonly windowMs: number;
  /** The longest answer; what a client owes beyond it is forgiven. */
  readonly throttleMsMax: number;
  /** Clients under a quota that are remembered, per kind; the least recently seen is forgotten. */
  readonly clientsMax: number;
  /** Clients with a quota of their own, per kind. */
  readonly quotasMax: number;
}

export const defaultQuotaLimits: QuotaLimits = {
  windowMs: 10_000,
  throttleMsMax: 900_000,
  clientsMax: 10_000,
  quotasMax: 10_000,
};

/** Longer names share the quota of the unnamed client: a name is memory that the client chooses. */
export const clientIdLengthMax = 255;

export interface QuotaCounts {
  /** Remembered now. */
  readonly clients: number;
  readonly throttledTotal: number;
  readonly throttledMsTotal: number;
}

interface Bucket {
  /** Bytes that may be taken at once; below 0 is a debt. */
  tokens: number;
  /** The monotonic time for which `tokens` is right. */
  atMs: number;
}

export class ClientQuotas {
  readonly #produce: KindOfQuota;
  readonly #fetch: KindOfQuota;

  constructor(clock: Clock, limits: Partial<QuotaLimits> = {}) {
    const all = { ...defaultQuotaLimits, ...limits };
    this.#produce = new KindOfQuota(clock, all);
    this.#fetch = new KindOfQuota(clock, all);
  }

  /**
   * `clientId` undefined is the default, which each client without a quota of its own has for itself. False when there
   * are `quotasMax` already or the name is longer than `clientIdLengthMax`: nothing has changed then.
   */
  set(kind: QuotaKind, clientId: string | undefined, bytesPerSecond: number): boolean {
    if (!(bytesPerSecond > 0 && bytesPerSecond < 2 ** 53)) throw new RangeError(`${bytesPerSecond} is not a quota`);
    return this.#of(kind).set(clientId, bytesPerSecond);
  }

  /** The client falls under the default again; without a default it is unlimited. */
  remove(kind: QuotaKind, clientId: string | undefined): void {
    this.#of(kind).remove(clientId);
  }

  /** What holds for the client, in bytes per second; undefined is unlimited. */
  quotaOf(kind: QuotaKind, clientId: string | undefined): number | undefined {
    return this.#of(kind).quotaOf(nameOf(clientId));
  }

  /** Those set, the default under `undefined`. */
  quotas(kind: QuotaKind): Map<string | undefined, number> {
    return this.#of(kind).quotas();
  }

  /** What the client may take at most in one window; infinity when it is unlimited. It bounds a fetch. */
  windowBytes(kind: QuotaKind, clientId: string | undefined): number {
    return this.#of(kind).windowBytes(nameOf(clientId));
  }

  /** Bytes written or read; answers for how many whole milliseconds the client is to wait, 0 when it is within its quota. */
  record(kind: QuotaKind, clientId: string | undefined, bytes: number): number {
    return this.#of(kind).record(nameOf(clientId), bytes);
  }

  /** The same without anything written or read. */
  throttleMs(kind: QuotaKind, clientId: string | undefined): number {
    return this.#of(kind).throttleMs(nameOf(clientId));
  }

  counts(kind: QuotaKind): QuotaCounts {
    return this.#of(kind).counts();
  }

  #of(kind: QuotaKind): KindOfQuota {
    return kind === "produce" ? this.#produce : this.#fetch;
  }
}

function nameOf(clientId: string | undefined): string {
  return clientId === undefined || clientId.length > clientIdLengthMax ? "" : clientId;
}

class KindOfQuota {
  readonly #clock: Clock;
  readonly #limits: QuotaLimits;
  readonly #own = new Map<string, number>();
  #default: number | undefined;
  /** Only of clients under a quota; the least recently seen first. */
  readonly #buckets = new Map<string, Bucket>();
  #throttledTotal = 0;
  #throttledMsTotal = 0;

  constructor(clock: Clock, limits: QuotaLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  set(clientId: string | undefined, bytesPerSecond: number): boolean {
    if (clientId === undefined) {
      this.#settle(() => true);
      this.#default = bytesPerSecond;
      return true;
    }
    if (clientId.length > clientIdLengthMax) return false;
    if (!this.#own.has(clientId) && this.#own.size >= this.#limits.quotasMax) return false;
    this.#settleOne(clientId);
    this.#own.set(clientId, bytesPerSecond);
    return true;
  }

  remove(clientId: string | undefined): void {
    if (clientId === undefined) {
      this.#settle((name) => this.#own.has(name));
      this.#default = undefined;
      return;
    }
    this.#settleOne(clientId);
    this.#own.delete(clientId);
    if (this.#default === undefined) this.#buckets.delete(clientId);
  }

  quotaOf(clientId: string): number | undefined {
    return this.#own.get(clientId) ?? this.#default;
  }

  quotas(): Map<string | undefined, number> {
    const all = new Map<string | undefined, number>(this.#own);
    if (this.#default !== undefined) all.set(undefined, this.#default);
    return all;
  }

  windowBytes(clientId: string): number {
    const rate = this.quotaOf(clientId);
    return rate === undefined ? Number.POSITIVE_INFINITY : this.#capacity(rate);
  }

  record(clientId: string, bytes: number): number {
    const rate = this.quotaOf(clientId);
    if (rate === undefined) return 0;
    const bucket = this.#bucket(clientId, rate);
    if (bytes > 0) bucket.tokens = Math.max(bucket.tokens - bytes, this.#debtMost(rate));
    const throttleMs = this.#waitMs(bucket, rate);
    if (throttleMs > 0) {
      this.#throttledTotal++;
      this.#throttledMsTotal += throttleMs;
    }
    return throttleMs;
  }

  throttleMs(clientId: string): number {
    const rate = this.quotaOf(clientId);
    const bucket = this.#buckets.get(clientId);
    if (rate === undefined || !bucket) return 0;
    this.#refill(bucket, rate);
    return this.#waitMs(bucket, rate);
  }

  counts(): QuotaCounts {
    return {
      clients: this.#buckets.size,
      throttledTotal: this.#throttledTotal,
      throttledMsTotal: this.#throttledMsTotal,
    };
  }

  /** The client's, as of now, and as the one seen last. A new one is full. */
  #bucket(clientId: string, rate: number): Bucket {
    let bucket = this.#buckets.get(clientId);
    if (bucket) {
      this.#buckets.delete(clientId);
      this.#refill(bucket, rate);
    } else {
      bucket = { tokens: this.#capacity(rate), atMs: this.#clock.monotonicMs() };
      for (const oldest of this.#buckets.keys()) {
        if (this.#buckets.size < this.#limits.clientsMax) break;
        this.#buckets.delete(oldest);
      }
    }
    this.#buckets.set(clientId, bucket);
    return bucket;
  }

  #refill(bucket: Bucket, rate: number): void {
    const nowMs = this.#clock.monotonicMs();
    const gained = (Math.max(0, nowMs - bucket.atMs) * rate) / 1000;
    // The rate may have changed since, and with it both bounds.
    bucket.tokens = Math.max(Math.min(bucket.tokens + gained, this.#capacity(rate)), this.#debtMost(rate));
    bucket.atMs = nowMs;
  }

  /** Before a rate changes: what has been gained so far was gained at the old one. Buckets without a quota go. */
  #settle(isKept: (clientId: string) => boolean): void {
    for (const clientId of this.#buckets.keys()) {
      if (isKept(clientId)) this.#settleOne(clientId);
      else this.#buckets.delete(clientId);
    }
  }

  #settleOne(clientId: string): void {
    const bucket = this.#buckets.get(clientId);
    const rate = this.quotaOf(clientId);
    if (bucket && rate !== undefined) this.#refill(bucket, rate);
  }

  #waitMs({ tokens }: Bucket, rate: number): number {
    return tokens < 0 ? Math.min(Math.ceil((-tokens * 1000) / rate), this.#limits.throttleMsMax) : 0;
  }

  #capacity(rate: number): number {
    return (rate * this.#limits.windowMs) / 1000;
  }

  #debtMost(rate: number): number {
    return (-rate * this.#limits.throttleMsMax) / 1000;
  }
}

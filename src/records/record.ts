/** A record as features see it. On disk and on the wire it is part of a record batch v2 (`batch.ts`, KIP-98). */
export interface Header {
  readonly key: string;
  readonly value: Buffer | null;
}

export interface NewRecord {
  readonly key: Buffer | null;
  /** Null is a tombstone. */
  readonly value: Buffer | null;
  readonly headers?: readonly Header[];
  /** Milliseconds since the epoch; the time of the append when left out. */
  readonly timestamp?: number;
}

/** A key with its value right behind it, from the beginning of a buffer whose owner may write it again. */
export interface JoinedRecord {
  readonly bytes: Buffer;
  /** -1 where there is no key. */
  readonly keyBytes: number;
  readonly valueBytes: number;
}

export interface StoredRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
}

/** Records whose keys are looked up together in an offset map, and what is needed of them then. One is used again and again. */
import type { BatchRecords } from "../../records/batch-records.ts";
import { lotMax, type OffsetMap } from "./offset-map.ts";

export class RecordLot {
  count = 0;
  readonly offsets = new Float64Array(lotMax);
  /** Where the records stand in the bytes of their batch. */
  readonly starts = new Int32Array(lotMax);
  readonly ends = new Int32Array(lotMax);
  /** 1 for a tombstone. */
  readonly tombstones = new Uint8Array(lotMax);
  readonly #map: OffsetMap;
  #bytes: Buffer = Buffer.alloc(0);
  /** Of `#bytes`. */
  #view: DataView = new DataView(new ArrayBuffer(0));

  constructor(map: OffsetMap) {
    this.#map = map;
  }

  get isFull(): boolean {
    return this.count === lotMax;
  }

  /** The record that `records` stands at. One without a key must not be looked up. */
  add(records: BatchRecords): void {
    const { bytes, keyStart, keyBytes } = records;
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    const i = this.count++;
    this.offsets[i] = records.offset;
    this.starts[i] = records.recordStart;
    this.ends[i] = records.recordEnd;
    this.tombstones[i] = records.isTombstone ? 1 : 0;
    this.#map.add(this.#view, keyStart, keyBytes < 0 ? keyStart : keyStart + keyBytes);
  }

  clear(): void {
    this.count = 0;
    this.#map.clear();
  }
}

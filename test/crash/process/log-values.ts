/** What the writers of log-writers.ts write: each value is known by its id alone. */

export const topics = {
  events: { partitions: 3, segmentBytesMax: 512 * 1024 },
  wide: { partitions: 64, segmentBytesMax: 64 * 1024 },
  large: { partitions: 1, segmentBytesMax: 2 * 1024 * 1024 },
  // What a process has written outlives it, synced or not.
  unsynced: { partitions: 2, segmentBytesMax: 512 * 1024, durability: "os" },
} as const;

export type TopicName = keyof typeof topics;

/** From 100 bytes to 300 KB, most of them small. */
export function valueFor(id: number): Buffer {
  const chance = (Math.imul(id + 1, 0x9e3779b1) >>> 0) / 2 ** 32;
  const size = chance < 0.9 ? 100 + chance * 1500 : 100 * 3000 ** ((chance - 0.9) * 10);
  return Buffer.alloc(Math.floor(size), `${id};`);
}

/** Of a value that was read back. Throws when it is none of ours. */
export function idOf(value: Buffer | null): number {
  const id = Number(value?.toString("latin1", 0, 20).split(";")[0]);
  if (!value || !Number.isSafeInteger(id) || !valueFor(id).equals(value)) {
    throw new Error(`a value that nobody wrote: ${value?.subarray(0, 40)}`);
  }
  return id;
}

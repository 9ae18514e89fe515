/**
 * Which ids were accepted, and where their events are: first in, first out, found by hash.
 *
 *   entries   chunks of 28 bytes each: hash 16, offset and partition 8, time 4; what a checkpoint writes as it is
 *   shards    64 hash tables with linear probing, each slot the entry's number; they grow one at a time, so that no growth is long
 *
 * Always true: an entry that was added is found until it is the oldest and expires, or the table is full; at most
 * `idsMax` entries are held, at no more than 39 bytes each and one chunk.
 */
export interface IdPlace {
  readonly partition: number;
  readonly offset: number;
}

export const entryBytes = 28;
const entryWords = entryBytes / 4;
export const entriesPerChunk = 65_536;
const shardCount = 64;
/** Slots hold an entry's number modulo this, plus one; 0 is empty. */
const numberModulus = 0xffff_ffff;
const offsetMax = 2 ** 48 - 1;

interface Shard {
  slots: Uint32Array;
  count: number;
}

export class IdTable {
  readonly idsMax: number;
  #chunks: Uint32Array[] = [];
  /** The number of the first chunk that is held. */
  #firstChunk = 0;
  #first = 0;
  #end = 0;
  readonly #shards: Shard[] = Array.from({ length: shardCount }, () => ({ slots: new Uint32Array(16), count: 0 }));

  constructor(idsMax: number) {
    this.idsMax = idsMax;
  }

  get size(): number {
    return this.#end - this.#first;
  }

  /** Of the oldest entry; entries are counted from 0 on, for ever. */
  get first(): number {
    return this.#first;
  }

  /** Behind the newest one. */
  get end(): number {
    return this.#end;
  }

  /** When the entry was added that is the oldest after `more` were added; undefined when none of those here is left then. */
  oldestSecondsAfter(more: number): number | undefined {
    const dropped = Math.max(0, this.size + more - this.idsMax);
    return dropped < this.size ? this.#timeOf(this.#first + dropped) : undefined;
  }

  /** Of the oldest entry; undefined when there is none. */
  get firstPlace(): IdPlace | undefined {
    return this.size === 0 ? undefined : this.#placeAt(this.#first);
  }

  get bytes(): number {
    let bytes = this.#chunks.length * entriesPerChunk * entryBytes;
    for (const { slots } of this.#shards) bytes += slots.byteLength;
    return bytes;
  }

  find(hash: Buffer): IdPlace | undefined {
    const shard = this.#shardOf(hash);
    const slot = this.#slotOf(shard, hash);
    const held = shard.slots[slot] as number;
    return held === 0 ? undefined : this.#placeAt(this.#numberOf(held));
  }

  /**
   * Answers whether the oldest had to go to make room, and how old it was. An id that is there keeps its first place.
   */
  add(
    hash: Buffer,
    { partition, offset }: IdPlace,
    timeSeconds: number,
  ): { readonly evictedSeconds: number } | undefined {
    if (offset > offsetMax) return undefined;
    const shard = this.#shardOf(hash);
    if (shard.slots[this.#slotOf(shard, hash)] !== 0) return undefined;
    const evictedSeconds = this.size >= this.idsMax ? this.#drop() : undefined;
    const entry = this.#room(this.#end);
    const { words, at } = entry;
    for (let i = 0; i < 4; i++) words[at + i] = hash.readUInt32LE(4 * i);
    words[at + 4] = offset % 2 ** 32;
    words[at + 5] = Math.floor(offset / 2 ** 32) | (partition << 16);
    words[at + 6] = timeSeconds;
    if ((shard.count + 1) * 4 > shard.slots.length * 3) this.#grow(shard);
    shard.slots[this.#slotOf(shard, hash)] = (this.#end % numberModulus) + 1;
    shard.count++;
    this.#end++;
    return evictedSeconds === undefined ? undefined : { evictedSeconds };
  }

  /** Lets the oldest go while they are from before this time. */
  expire(beforeSeconds: number): void {
    while (this.#first < this.#end && this.#timeOf(this.#first) < beforeSeconds) this.#drop();
  }

  clear(): void {
    this.#chunks = [];
    this.#firstChunk = this.#first = this.#end = 0;
    for (const shard of this.#shards) {
      shard.slots = new Uint32Array(16);
      shard.count = 0;
    }
  }

  /** The numbers of the chunks that hold entries. */
  chunkNumbers(): readonly number[] {
    return this.#chunks.map((_, i) => this.#firstChunk + i);
  }

  /** The bytes of a chunk up to the newest entry; a view while it fills, to be copied by who keeps it. */
  chunkBytes(number: number): Buffer {
    const words = this.#chunks[number - this.#firstChunk] as Uint32Array;
    const count = Math.min(entriesPerChunk, this.#end - number * entriesPerChunk);
    return Buffer.from(words.buffer, words.byteOffset, count * entryBytes);
  }

  /** Puts back what a checkpoint has. The table is empty; chunks come in order, `first` lies in the first of them. */
  restore(first: number, chunks: readonly { readonly number: number; readonly bytes: Buffer }[]): void {
    this.#first = this.#end = first;
    this.#firstChunk = Math.floor(first / entriesPerChunk);
    for (const { number, bytes } of chunks) {
      const words = new Uint32Array(entriesPerChunk * entryWords);
      Buffer.from(words.buffer).set(bytes);
      this.#chunks.push(words);
      const start = Math.max(first, number * entriesPerChunk);
      const end = number * entriesPerChunk + bytes.length / entryBytes;
      this.#end = end;
      for (let entry = start; entry < end; entry++) this.#index(entry);
    }
    while (this.size > this.idsMax) this.#drop();
  }

  #index(entry: number): void {
    const { words, at } = this.#entry(entry);
    const shard = this.#shards[(words[at] as number) & (shardCount - 1)] as Shard;
    if ((shard.count + 1) * 4 > shard.slots.length * 3) this.#grow(shard);
    insert(shard, words[at + 1] as number, (entry % numberModulus) + 1);
    shard.count++;
  }

  #shardOf(hash: Buffer): Shard {
    return this.#shards[(hash[0] as number) & (shardCount - 1)] as Shard;
  }

  /** The slot that holds the hash, or the empty one where it would be. */
  #slotOf({ slots }: Shard, hash: Buffer): number {
    const mask = slots.length - 1;
    const h1 = hash.readUInt32LE(4);
    let slot = h1 & mask;
    for (let held = slots[slot] as number; held !== 0; held = slots[slot] as number) {
      const { words, at } = this.#entry(this.#numberOf(held));
      if (
        words[at + 1] === h1 &&
        words[at] === hash.readUInt32LE(0) &&
        words[at + 2] === hash.readUInt32LE(8) &&
        words[at + 3] === hash.readUInt32LE(12)
      ) {
        return slot;
      }
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(shard: Shard): void {
    const { slots } = shard;
    shard.slots = new Uint32Array(slots.length * 2);
    for (const held of slots) {
      if (held === 0) continue;
      const { words, at } = this.#entry(this.#numberOf(held));
      insert(shard, words[at + 1] as number, held);
    }
  }

  /** Lets the oldest go; answers its time. */
  #drop(): number {
    const { words, at } = this.#entry(this.#first);
    const seconds = words[at + 6] as number;
    const shard = this.#shards[(words[at] as number) & (shardCount - 1)] as Shard;
    this.#remove(shard, words[at + 1] as number, (this.#first % numberModulus) + 1);
    this.#first++;
    if (this.#first % entriesPerChunk === 0) {
      this.#chunks.shift();
      this.#firstChunk++;
    }
    return seconds;
  }

  /** Entries behind the slot move up, so that no search ends too early. */
  #remove(shard: Shard, h1: number, held: number): void {
    const { slots } = shard;
    const mask = slots.length - 1;
    let hole = h1 & mask;
    while (slots[hole] !== held) hole = (hole + 1) & mask;
    for (let next = (hole + 1) & mask; slots[next] !== 0; next = (next + 1) & mask) {
      const moved = slots[next] as number;
      const { words, at } = this.#entry(this.#numberOf(moved));
      const home = (words[at + 1] as number) & mask;
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      slots[hole] = moved;
      hole = next;
    }
    slots[hole] = 0;
    shard.count--;
  }

  #numberOf(held: number): number {
    const ahead = held - 1 - (this.#first % numberModulus);
    return this.#first + (ahead < 0 ? ahead + numberModulus : ahead);
  }

  #entry(number: number): { readonly words: Uint32Array; readonly at: number } {
    const chunk = Math.floor(number / entriesPerChunk);
    const words = this.#chunks[chunk - this.#firstChunk] as Uint32Array;
    return { words, at: (number - chunk * entriesPerChunk) * entryWords };
  }

  #room(number: number): { readonly words: Uint32Array; readonly at: number } {
    const chunk = Math.floor(number / entriesPerChunk);
    if (chunk - this.#firstChunk >= this.#chunks.length)
      this.#chunks.push(new Uint32Array(entriesPerChunk * entryWords));
    return this.#entry(number);
  }

  #placeAt(number: number): IdPlace {
    const { words, at } = this.#entry(number);
    const high = words[at + 5] as number;
    return { partition: high >>> 16, offset: (high & 0xffff) * 2 ** 32 + (words[at + 4] as number) };
  }

  #timeOf(number: number): number {
    const { words, at } = this.#entry(number);
    return words[at + 6] as number;
  }
}

function insert({ slots }: Shard, h1: number, held: number): void {
  const mask = slots.length - 1;
  let slot = h1 & mask;
  while (slots[slot] !== 0) slot = (slot + 1) & mask;
  slots[slot] = held;
}

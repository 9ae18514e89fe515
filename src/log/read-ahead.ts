/**
 * What those who read one chunk after another will ask for next is read while they still deal with what they have. One chunk
 * for each reader, and a bound for all of them: the oldest goes first.
 */
import type { ReadMemory } from "./read-memory.ts";

interface Ahead {
  readonly path: string;
  readonly position: number;
  readonly sizeBytes: number;
  /** Undefined when it could not be read: whoever wants it reads it, and says why not. */
  readonly bytes: Promise<Buffer | undefined>;
}

export class ReadAhead {
  readonly #memory: ReadMemory;
  readonly #bytesMax: number;
  #heldBytes = 0;
  /** By reader, the oldest first. */
  readonly #chunks = new Map<object, Ahead>();
  readonly #reading = new Set<Promise<unknown>>();

  constructor(memory: ReadMemory, bytesMax: number) {
    this.#memory = memory;
    this.#bytesMax = bytesMax;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  begin(reader: object, path: string, position: number, sizeBytes: number, read: () => Promise<Buffer>): void {
    this.drop(reader);
    if (sizeBytes > this.#bytesMax) return;
    for (const oldest of this.#chunks.keys()) {
      if (this.#heldBytes + sizeBytes <= this.#bytesMax) break;
      this.drop(oldest);
    }
    const bytes = read().catch(() => undefined);
    this.#reading.add(bytes);
    void bytes.then(() => this.#reading.delete(bytes));
    this.#chunks.set(reader, { path, position, sizeBytes, bytes });
    this.#heldBytes += sizeBytes;
  }

  /** The chunk from there on, which is the caller's from now on; undefined when it is not the one that was begun. */
  take(reader: object, path: string, position: number): Promise<Buffer | undefined> | undefined {
    const ahead = this.#chunks.get(reader);
    if (ahead?.path !== path || ahead.position !== position) return undefined;
    this.#forget(reader, ahead);
    return ahead.bytes;
  }

  drop(reader: object): void {
    const ahead = this.#chunks.get(reader);
    if (!ahead) return;
    this.#forget(reader, ahead);
    void ahead.bytes.then((bytes) => bytes && this.#memory.giveBack([bytes]));
  }

  /** Resolves when nothing is being read any more. */
  async close(): Promise<void> {
    for (const reader of [...this.#chunks.keys()]) this.drop(reader);
    await Promise.all(this.#reading);
  }

  #forget(reader: object, ahead: Ahead): void {
    this.#chunks.delete(reader);
    this.#heldBytes -= ahead.sizeBytes;
  }
}

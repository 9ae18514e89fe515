/**
 * The checkpoint of an id table (docs/internals/webhooks.md): so that a start reads what came since, and not a week.
 *
 *   checkpoint          which log and topic, how far each partition was read, which chunks with which checksums
 *   ids-<chunk>-<n>     the first n entries of a chunk, as the table holds them
 *
 * Always true: `checkpoint` names only files that are durable; a full chunk is written once. Nothing here is needed: what is
 * damaged, of another log or ahead of the topic is thrown away, and the topic is read instead.
 */
import { join } from "node:path";
import type { Disk } from "../../base/disk.ts";
import { isCount, isRecord, readCheckedFile, writeCheckedFile } from "../../log/checked-file.ts";
import { crc32c } from "../../records/crc32c.ts";
import { entriesPerChunk, entryBytes, type IdTable } from "./id-table.ts";

export interface FoldPosition {
  readonly nextOffset: number;
  readonly leaderEpoch: number;
}

export interface Checkpoint {
  readonly logId: string;
  readonly topicId: string;
  /** By partition. */
  readonly positions: readonly FoldPosition[];
  /** The last sequence of each key whose hash (base64) is known, oldest first. */
  readonly sequences: readonly (readonly [keyHash: string, sequence: number])[];
}

interface Stored extends Checkpoint {
  readonly first: number;
  readonly chunks: readonly { readonly number: number; readonly entries: number; readonly checksum: number }[];
}

const format = 1;
const name = "webhook-ids";

export class IdCheckpoint {
  readonly #disk: Disk;
  readonly #directory: string;
  /** Full chunks that are on the disk, with their checksums. */
  readonly #written = new Map<number, number>();

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** Fills the table. Undefined when there is no checkpoint, a sentence when there is one that cannot be used. */
  async load(table: IdTable): Promise<Checkpoint | string | undefined> {
    const found = await readCheckedFile(this.#disk, this.#file, name, format, isStored);
    if (found.kind === "missing") return undefined;
    if (found.kind === "damaged") return found.reason;
    const stored = found.value as Stored;
    const chunks: { number: number; bytes: Buffer }[] = [];
    for (const { number, entries, checksum } of stored.chunks) {
      const bytes = await this.#readChunk(number, entries);
      if (!bytes || crc32c(bytes) !== checksum) return `its chunk ${number} is missing or damaged`;
      if (entries === entriesPerChunk) this.#written.set(number, checksum);
      chunks.push({ number, bytes });
    }
    table.restore(stored.first, chunks);
    return stored;
  }

  /** What the table holds now; changes while it is written are not in it. */
  async write(table: IdTable, checkpoint: Checkpoint): Promise<void> {
    const first = table.first;
    const chunks: { number: number; entries: number; checksum: number; bytes: Buffer | null }[] = [];
    for (const number of table.chunkNumbers()) {
      const known = this.#written.get(number);
      const view = table.chunkBytes(number);
      const entries = view.length / entryBytes;
      if (known !== undefined) chunks.push({ number, entries, checksum: known, bytes: null });
      else if (entries > 0) chunks.push({ number, entries, checksum: crc32c(view), bytes: Buffer.from(view) });
    }
    await this.#disk.makeDirectory(this.#directory);
    for (const { number, entries, bytes } of chunks) if (bytes) await this.#writeChunk(number, entries, bytes);
    await this.#disk.syncDirectory(this.#directory);
    const { logId, topicId, positions, sequences } = checkpoint;
    const named = chunks.map(({ number, entries, checksum }) => ({ number, entries, checksum }));
    const stored: Stored = { logId, topicId, positions, sequences, first, chunks: named };
    await writeCheckedFile(this.#disk, this.#file, name, format, stored);
    this.#written.clear();
    for (const { number, entries, checksum } of chunks) {
      if (entries === entriesPerChunk) this.#written.set(number, checksum);
    }
    await this.#removeOthers(new Set(chunks.map(({ number, entries }) => chunkName(number, entries))));
  }

  get #file(): string {
    return join(this.#directory, "checkpoint");
  }

  async #readChunk(number: number, entries: number): Promise<Buffer | undefined> {
    const path = join(this.#directory, chunkName(number, entries));
    if (!(await this.#disk.exists(path))) return undefined;
    const file = await this.#disk.open(path, "read");
    try {
      const bytes = Buffer.alloc(entries * entryBytes);
      return (await file.read(bytes, 0)) === bytes.length ? bytes : undefined;
    } finally {
      await file.close();
    }
  }

  async #writeChunk(number: number, entries: number, bytes: Buffer): Promise<void> {
    const path = join(this.#directory, chunkName(number, entries));
    await this.#disk.remove(path);
    const file = await this.#disk.open(path, "exclusive");
    try {
      await file.write([bytes], 0);
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  async #removeOthers(needed: ReadonlySet<string>): Promise<void> {
    for (const file of await this.#disk.list(this.#directory)) {
      if (file.startsWith("ids-") && !needed.has(file)) await this.#disk.remove(join(this.#directory, file));
    }
  }
}

function chunkName(number: number, entries: number): string {
  return `ids-${number}-${entries}`;
}

function isStored(value: unknown): value is Stored {
  if (!isRecord(value) || !isCount(value.first) || !Array.isArray(value.chunks)) return false;
  if (typeof value.logId !== "string" || typeof value.topicId !== "string") return false;
  if (!Array.isArray(value.sequences) || !value.sequences.every(isSequence)) return false;
  if (!Array.isArray(value.positions) || !value.positions.every(isPosition)) return false;
  let next = Math.floor(value.first / entriesPerChunk);
  return value.chunks.every((chunk, i, all) => {
    const isRight = isRecord(chunk) && chunk.number === next++ && isCount(chunk.entries) && isCount(chunk.checksum);
    if (!isRight || chunk.entries === 0 || (chunk.entries as number) > entriesPerChunk) return false;
    return i === all.length - 1 || chunk.entries === entriesPerChunk;
  });
}

function isPosition(value: unknown): boolean {
  return isRecord(value) && isCount(value.nextOffset) && Number.isSafeInteger(value.leaderEpoch);
}

function isSequence(value: unknown): boolean {
  return Array.isArray(value) && typeof value[0] === "string" && Number.isFinite(value[1]);
}

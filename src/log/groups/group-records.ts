/**
 * Records of `_millrace.groups` (docs/internals/formats/group-offsets.md): a committed offset, what is kept about a
 * group, and a mark that means nothing. A record without a value removes what its key names.
 *
 * What cannot be read, because it is damaged in form or newer, is answered as undefined and never thrown: one record must
 * not keep a group from its offsets.
 */
import { readInt64, writeInt64 } from "../../records/int64.ts";
import type { NewRecord } from "../../records/record.ts";

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface OffsetValue {
  readonly offset: number;
  /** Of the last record consumed, so that a cut is noticed (KIP-320); -1 when it was not given. */
  readonly leaderEpoch: number;
  /** What the consumer wrote beside it. */
  readonly metadata: string;
  readonly committedMs: number;
  /** Of the topic that was meant: one of the same name made later is another. */
  readonly topicId: string;
}

/** What is kept about a group beside its offsets. */
export interface GroupMetadata {
  /** Who leads the group: `millrace` for members in this process, else what the protocol's clients say. */
  readonly protocolType: string;
  readonly generation: number;
  readonly memberCount: number;
  /** Since when it has no members; null while it has some. */
  readonly emptySinceMs: number | null;
  /** What the protocol keeps, opaque here. */
  readonly detail: Buffer | null;
}

export type GroupRecord =
  | ({ readonly kind: "offset"; readonly group: string; readonly value: OffsetValue | null } & TopicPartition)
  | { readonly kind: "group"; readonly group: string; readonly value: GroupMetadata | null }
  | { readonly kind: "mark" };

const keyKind = { offset: 1, group: 2, mark: 3 } as const;
const valueVersion = 1;

/** Version, offset, leader epoch, time, topic id, length of the metadata. */
const offsetValueBytes = 1 + 8 + 4 + 8 + 16 + 2;

export function encodeGroupRecord(record: GroupRecord): NewRecord {
  if (record.kind === "mark") return { key: Buffer.from([keyKind.mark]), value: null };
  const key = encodeKey(record);
  if (record.value === null) return { key, value: null };
  return { key, value: record.kind === "offset" ? encodeOffset(record.value) : encodeMetadata(record.value) };
}

/** Undefined for what this version does not know. */
export function decodeGroupRecord(key: Buffer | null, value: Buffer | null): GroupRecord | undefined {
  if (!key || key.length === 0) return undefined;
  const kind = key[0];
  if (kind === keyKind.mark && key.length === 1) return { kind: "mark" };
  const fields = new KeyReader(key);
  const group = fields.text();
  if (kind === keyKind.group) {
    if (group === undefined || !fields.isAtEnd) return undefined;
    if (!value) return { kind: "group", group, value: null };
    const metadata = decodeMetadata(value);
    return metadata && { kind: "group", group, value: metadata };
  }
  if (kind !== keyKind.offset) return undefined;
  const topic = fields.text();
  const partition = fields.uint32();
  if (group === undefined || topic === undefined || partition === undefined || !fields.isAtEnd) return undefined;
  if (!value) return { kind: "offset", group, topic, partition, value: null };
  const offset = decodeOffset(value);
  return offset && { kind: "offset", group, topic, partition, value: offset };
}

function encodeKey(record: Exclude<GroupRecord, { readonly kind: "mark" }>): Buffer {
  const group = withLength(record.group);
  if (record.kind === "group") return Buffer.concat([Buffer.from([keyKind.group]), group]);
  const partition = Buffer.alloc(4);
  partition.writeUInt32BE(record.partition);
  return Buffer.concat([Buffer.from([keyKind.offset]), group, withLength(record.topic), partition]);
}

function withLength(text: string): Buffer {
  const bytes = Buffer.alloc(2 + Buffer.byteLength(text));
  bytes.writeUInt16BE(bytes.length - 2);
  bytes.write(text, 2);
  return bytes;
}

function encodeOffset({ offset, leaderEpoch, metadata, committedMs, topicId }: OffsetValue): Buffer {
  const metadataBytes = Buffer.byteLength(metadata);
  const bytes = Buffer.alloc(offsetValueBytes + metadataBytes);
  bytes[0] = valueVersion;
  writeInt64(bytes, 1, offset);
  bytes.writeInt32BE(leaderEpoch, 9);
  writeInt64(bytes, 13, committedMs);
  bytes.write(topicId.replaceAll("-", ""), 21, 16, "hex");
  bytes.writeUInt16BE(metadataBytes, 37);
  bytes.write(metadata, offsetValueBytes);
  return bytes;
}

function decodeOffset(bytes: Buffer): OffsetValue | undefined {
  if (bytes.length < offsetValueBytes || bytes[0] !== valueVersion) return undefined;
  if (bytes.length !== offsetValueBytes + bytes.readUInt16BE(37)) return undefined;
  const offset = readInt64(bytes, 1);
  const committedMs = readInt64(bytes, 13);
  if (!(offset >= 0) || Number.isNaN(committedMs)) return undefined;
  const id = bytes.toString("hex", 21, 37);
  return {
    offset,
    leaderEpoch: bytes.readInt32BE(9),
    committedMs,
    topicId: `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20)}`,
    metadata: bytes.toString("utf8", offsetValueBytes),
  };
}

function encodeMetadata({ detail, ...rest }: GroupMetadata): Buffer {
  const content = { version: valueVersion, ...rest, detail: detail ? detail.toString("base64") : null };
  return Buffer.from(JSON.stringify(content));
}

function decodeMetadata(bytes: Buffer): GroupMetadata | undefined {
  let content: Record<string, unknown>;
  try {
    content = JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
  const { version, protocolType, generation, memberCount, emptySinceMs, detail } = content ?? {};
  if (version !== valueVersion || typeof protocolType !== "string") return undefined;
  if (!Number.isSafeInteger(generation) || !Number.isSafeInteger(memberCount)) return undefined;
  if (emptySinceMs !== null && !Number.isSafeInteger(emptySinceMs)) return undefined;
  return {
    protocolType,
    generation: generation as number,
    memberCount: memberCount as number,
    emptySinceMs: emptySinceMs as number | null,
    detail: typeof detail === "string" ? Buffer.from(detail, "base64") : null,
  };
}

class KeyReader {
  readonly #bytes: Buffer;
  #position = 1;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#position === this.#bytes.length;
  }

  text(): string | undefined {
    if (this.#position + 2 > this.#bytes.length) return undefined;
    const start = this.#position + 2;
    const end = start + this.#bytes.readUInt16BE(this.#position);
    if (end > this.#bytes.length) return undefined;
    this.#position = end;
    return this.#bytes.toString("utf8", start, end);
  }

  uint32(): number | undefined {
    if (this.#position + 4 > this.#bytes.length) return undefined;
    this.#position += 4;
    return this.#bytes.readUInt32BE(this.#position - 4);
  }
}

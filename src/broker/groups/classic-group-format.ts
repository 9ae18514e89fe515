/**
 * What is kept of a group of the classic protocol beside its offsets: the `detail` of its metadata in `_millrace.groups`
 * (docs/internals/formats/group-offsets.md). Generation and protocol type stand in the metadata themselves.
 *
 * kind 1 (u8), version 1 (u8), protocol, leader, count of members (u32), then of each: member id, instance id, client id,
 * host, rebalance timeout and session timeout (u32, milliseconds), metadata under the protocol in use, assignment.
 * Texts and bytes have their length before them (u32); 0xffffffff is none.
 */
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import { type KeptGroup, type KeptMember, metadataOf } from "./classic-state.ts";
import { detailKind } from "./group-directory.ts";

const version = 1;
const none = 0xffffffff;

export function encodeClassicGroup(kept: KeptGroup, nowMs: number): GroupMetadata {
  const { generation, protocolType, members } = kept;
  const memberCount = members.length;
  return {
    protocolType,
    generation,
    memberCount,
    emptySinceMs: memberCount === 0 ? nowMs : null,
    detail: encodeDetail(kept),
  };
}

/** Undefined for what is damaged, or written by a newer version. */
export function decodeClassicGroup({ protocolType, generation, detail }: GroupMetadata): KeptGroup | undefined {
  if (!detail || detail[0] !== detailKind.classic || detail[1] !== version) return undefined;
  const fields = new DetailReader(detail, 2);
  const protocol = fields.text();
  const leaderId = fields.text();
  const count = fields.uint32();
  const members: KeptMember[] = [];
  for (let i = 0; i < count && !fields.isDamaged; i++) {
    const memberId = fields.text() ?? "";
    const instanceId = fields.text();
    const clientId = fields.text() ?? "";
    const clientHost = fields.text() ?? "";
    const rebalanceTimeoutMs = fields.uint32();
    const sessionTimeoutMs = fields.uint32();
    const metadata = fields.bytes() ?? Buffer.alloc(0);
    const assignment = fields.bytes() ?? Buffer.alloc(0);
    const protocols = protocol === null ? [] : [{ name: protocol, metadata }];
    const names = { memberId, instanceId, clientId, clientHost };
    members.push({ ...names, rebalanceTimeoutMs, sessionTimeoutMs, protocols, assignment });
  }
  if (fields.isDamaged || !fields.isAtEnd) return undefined;
  const ids = new Set(members.map(({ memberId }) => memberId));
  const isWhole = ids.size === count && (count === 0 || (protocol !== null && leaderId !== null && ids.has(leaderId)));
  return isWhole ? { generation, protocolType, protocol, leaderId, members } : undefined;
}

function encodeDetail({ protocol, leaderId, members }: KeptGroup): Buffer {
  const parts = [Buffer.from([detailKind.classic, version]), text(protocol), text(leaderId), uint32(members.length)];
  for (const member of members) {
    parts.push(text(member.memberId), text(member.instanceId), text(member.clientId), text(member.clientHost));
    parts.push(uint32(member.rebalanceTimeoutMs), uint32(member.sessionTimeoutMs));
    parts.push(bytes(metadataOf(member, protocol)), bytes(member.assignment));
  }
  return Buffer.concat(parts);
}

function uint32(value: number): Buffer {
  const encoded = Buffer.alloc(4);
  encoded.writeUInt32BE(value);
  return encoded;
}

function text(value: string | null): Buffer {
  return value === null ? uint32(none) : bytes(Buffer.from(value));
}

function bytes(value: Buffer): Buffer {
  return Buffer.concat([uint32(value.length), value]);
}

/** Once something does not fit, everything after it is damaged. */
class DetailReader {
  readonly #bytes: Buffer;
  #position: number;
  isDamaged = false;

  constructor(from: Buffer, position: number) {
    this.#bytes = from;
    this.#position = position;
  }

  get isAtEnd(): boolean {
    return this.#position === this.#bytes.length;
  }

  uint32(): number {
    if (this.isDamaged || this.#position + 4 > this.#bytes.length) {
      this.isDamaged = true;
      return 0;
    }
    this.#position += 4;
    return this.#bytes.readUInt32BE(this.#position - 4);
  }

  bytes(): Buffer | null {
    const length = this.uint32();
    if (this.isDamaged || length === none) return null;
    const end = this.#position + length;
    if (end > this.#bytes.length) {
      this.isDamaged = true;
      return null;
    }
    const found = this.#bytes.subarray(this.#position, end);
    this.#position = end;
    return found;
  }

  text(): string | null {
    return this.bytes()?.toString("utf8") ?? null;
  }
}

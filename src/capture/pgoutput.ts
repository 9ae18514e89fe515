/**
 * Decodes what PostgreSQL's `pgoutput` plugin sends (protocol versions 1 to 4): "Logical Replication Message Formats" of
 * its manual. A message is decoded where it lies and handed to a handler at once; nothing is kept.
 *
 * Messages inside a stream block (parts of a transaction that is still running) are handed on whole with the number of
 * their subtransaction, to be decoded by `decodeStreamed` when the transaction has committed.
 */
import { Cells, cellState } from "../schema/cells.ts";
import { readLsn, readTimestampUs } from "./lsn.ts";

export interface RelationColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typeModifier: number;
  /** Part of the replica identity; every column is when the identity is full. */
  readonly identity: boolean;
}

export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  readonly identity: "default" | "nothing" | "full" | "index";
  readonly columns: readonly RelationColumn[];
}

/** What `pg_logical_emit_message` wrote. */
export interface EmittedMessage {
  /** One that is not stands outside of transactions, and holds even if the transaction that wrote it is rolled back. */
  readonly transactional: boolean;
  /** The end of its record. */
  readonly lsn: number;
  readonly prefix: string;
  /** A part of the decoded message: valid during the call only. */
  readonly content: Buffer;
}

/** Of a transaction that is prepared first (`PREPARE TRANSACTION`), from a slot that decodes at that point. */
export interface TwoPhaseStep {
  readonly kind: "begin-prepare" | "prepare" | "commit-prepared" | "rollback-prepared" | "stream-prepare";
  readonly xid: number;
  /** The name that the transaction was prepared under. */
  readonly gid: string;
  /** Of the record of this step; a rollback's are the ends of the prepare and of the rollback. */
  readonly lsn: number;
  readonly endLsn: number;
  /** Microseconds since the Unix epoch. */
  readonly atUs: number;
}

/** What an old row holds: nothing, the columns of the replica identity, or all columns. */
export type OldRow = "none" | "key" | "full";

export interface PgOutputHandler {
  /** `commitLsn` is the place of the commit record; `commitUs` since the Unix epoch. */
  begin(xid: number, commitLsn: number, commitUs: number): void;
  /** `endLsn` is the end of the commit record. */
  commit(commitLsn: number, endLsn: number, commitUs: number): void;
  relation(relation: Relation): void;
  insert(relationOid: number, row: Cells): void;
  update(relationOid: number, oldRow: OldRow, old: Cells, row: Cells): void;
  delete(relationOid: number, oldRow: OldRow, old: Cells): void;
  truncate(relationOids: readonly number[]): void;
  /** One of the above, in a transaction that has not ended: `message` is valid during the call only. */
  streamed(topXid: number, xid: number, message: Buffer): void;
  streamCommit(xid: number, commitLsn: number, endLsn: number, commitUs: number): void;
  /** Of a whole transaction when both are the same. */
  streamAbort(topXid: number, xid: number): void;
  message(message: EmittedMessage): void;
  /** The open transaction was committed elsewhere first, at `originLsn` there (0 while that is not known). */
  origin(originLsn: number, name: string): void;
  /** A type that is not built in, before the relation that has it. */
  type(oid: number, schema: string, name: string): void;
  twoPhase(step: TwoPhaseStep): void;
}

/** The message's form is not what the manual says; `relationOid` where it could be read. */
export class DecodeError extends Error {
  readonly relationOid: number | null;

  constructor(message: string, relationOid: number | null = null) {
    super(message);
    this.name = "DecodeError";
    this.relationOid = relationOid;
  }
}

/**
 * Options of START_REPLICATION for a server of this version (`server_version_num`): the newest protocol that it speaks,
 * without two-phase decoding. `publications` is the list with its quotes. Origin `none` leaves out what the server has by
 * replication itself, from 16 on.
 */
export function streamOptions(version: number, publications: string, origin: "any" | "none" = "any"): string {
  const [protocol, streaming] = version >= 160_000 ? [4, "parallel"] : [version >= 150_000 ? 3 : 2, "on"];
  const options = `proto_version '${protocol}', streaming '${streaming}', messages 'true', publication_names '${publications}'`;
  return origin === "any" ? options : `${options}, origin 'none'`;
}

const identities: Readonly<Record<number, Relation["identity"]>> = {
  100: "default",
  110: "nothing",
  102: "full",
  105: "index",
};

export class PgOutputDecoder {
  readonly #handler: PgOutputHandler;
  readonly #narrow: (message: Buffer, at: number) => Buffer;
  readonly #old = new Cells();
  readonly #row = new Cells();
  /** Of the stream block that is open; 0 outside of one. */
  #streamXid = 0;

  /** `narrow` is given each message whose place in a transaction is known, and answers what is decoded instead. */
  constructor(handler: PgOutputHandler, narrow: (message: Buffer, at: number) => Buffer = (message) => message) {
    this.#handler = handler;
    this.#narrow = narrow;
  }

  /** Throws `DecodeError`. */
  decode(message: Buffer): void {
    const kind = message[0] as number;
    if (this.#streamXid !== 0 && !standsOutsideOfBlocks(kind)) {
      // The origin is the one message of a block that names no subtransaction.
      const xid = kind === 0x4f ? this.#streamXid : uint32(message, 1);
      this.#handler.streamed(this.#streamXid, xid, message);
      return;
    }
    try {
      switch (kind) {
        case 0x53: // Stream Start
          this.#streamXid = message.readUInt32BE(1);
          return;
        case 0x45: // Stream Stop
          this.#streamXid = 0;
          return;
        case 0x63: // Stream Commit
          this.#handler.streamCommit(
            message.readUInt32BE(1),
            readLsn(message, 6),
            readLsn(message, 14),
            readTimestampUs(message, 22),
          );
          return;
        case 0x41: // Stream Abort; version 4 adds position and time, which nothing needs
          this.#handler.streamAbort(message.readUInt32BE(1), message.readUInt32BE(5));
          return;
        case 0x42: // Begin
          this.#handler.begin(message.readUInt32BE(17), readLsn(message, 1), readTimestampUs(message, 9));
          return;
        case 0x43: // Commit
          this.#handler.commit(readLsn(message, 2), readLsn(message, 10), readTimestampUs(message, 18));
          return;
        case 0x62: // Begin Prepare
          this.#handler.twoPhase(readTwoPhase("begin-prepare", message, 1));
          return;
        case 0x50: // Prepare
          this.#handler.twoPhase(readTwoPhase("prepare", message, 2));
          return;
        case 0x4b: // Commit Prepared
          this.#handler.twoPhase(readTwoPhase("commit-prepared", message, 2));
          return;
        case 0x72: // Rollback Prepared
          this.#handler.twoPhase(readTwoPhase("rollback-prepared", message, 2));
          return;
        case 0x70: // Stream Prepare
          this.#handler.twoPhase(readTwoPhase("stream-prepare", message, 2));
          return;
        default:
          this.#decodeInside(message, 1);
      }
    } catch (cause) {
      throw asDecodeError(cause, message, 1);
    }
  }

  /** A message that `streamed` handed on. Throws `DecodeError`. */
  decodeStreamed(message: Buffer): void {
    try {
      this.#decodeInside(message, 5);
    } catch (cause) {
      throw asDecodeError(cause, message, 5);
    }
  }

  #decodeInside(given: Buffer, at: number): void {
    const message = this.#narrow(given, at);
    switch (message[0]) {
      case 0x49: {
        // Insert
        const oid = message.readUInt32BE(at);
        if (message[at + 4] !== 0x4e) throw new DecodeError("an insert has no new row", oid);
        readTuple(message, at + 5, this.#row);
        this.#handler.insert(oid, this.#row);
        return;
      }
      case 0x55:
        this.#decodeUpdate(message, at);
        return;
      case 0x44: {
        // Delete
        const oid = message.readUInt32BE(at);
        const oldRow = oldRowKind(message[at + 4]);
        if (oldRow === "none") throw new DecodeError("a delete has no old row", oid);
        readTuple(message, at + 5, this.#old);
        this.#handler.delete(oid, oldRow, this.#old);
        return;
      }
      case 0x52:
        this.#handler.relation(readRelation(message, at));
        return;
      case 0x54: {
        // Truncate
        const count = message.readUInt32BE(at);
        const oids = Array.from({ length: count }, (_, i) => message.readUInt32BE(at + 5 + i * 4));
        this.#handler.truncate(oids);
        return;
      }
      case 0x4d: // Message
        this.#handler.message(readMessage(message, at));
        return;
      case 0x4f: // Origin, which has no subtransaction
        this.#handler.origin(readLsn(message, 1), readText(message, 9).text);
        return;
      case 0x59: {
        // Type
        const schema = readText(message, at + 4);
        const name = readText(message, schema.next);
        this.#handler.type(message.readUInt32BE(at), schema.text || "pg_catalog", name.text);
        return;
      }
      default:
        throw new DecodeError(`message kind ${String.fromCharCode(message[0] ?? 0x3f)} is not known`);
    }
  }

  #decodeUpdate(message: Buffer, at: number): void {
    const oid = message.readUInt32BE(at);
    const oldRow = oldRowKind(message[at + 4]);
    let next = at + 4;
    if (oldRow !== "none") next = readTuple(message, next + 1, this.#old);
    if (message[next] !== 0x4e) throw new DecodeError("an update has no new row", oid);
    readTuple(message, next + 1, this.#row);
    this.#handler.update(oid, oldRow, this.#old, this.#row);
  }
}

function oldRowKind(code: number | undefined): OldRow {
  return code === 0x4b ? "key" : code === 0x4f ? "full" : "none";
}

/** Answers the place after the tuple. */
function readTuple(message: Buffer, position: number, cells: Cells): number {
  const count = uint16(message, position);
  cells.reset(message, count);
  let at = position + 2;
  for (let i = 0; i < count; i++) {
    const kind = message[at++];
    if (kind === 0x74) {
      const bytes = uint32(message, at);
      at += 4;
      cells.state[i] = cellState.text;
      cells.start[i] = at;
      at += bytes;
      cells.end[i] = at;
    } else if (kind === 0x6e) {
      cells.state[i] = cellState.null;
    } else if (kind === 0x75) {
      cells.state[i] = cellState.unchanged;
    } else {
      throw new DecodeError(`a column is of the unknown kind ${kind}`);
    }
  }
  if (at > message.length) throw new DecodeError("a row is longer than its message");
  return at;
}

/** `position` is the place of the table's number. Throws `DecodeError`, and what Node throws past the message's end. */
export function readRelation(message: Buffer, position: number): Relation {
  const oid = message.readUInt32BE(position);
  const schema = readText(message, position + 4);
  const table = readText(message, schema.next);
  let at = table.next;
  const identity = identities[message[at++] ?? 0];
  if (identity === undefined) throw new DecodeError("the replica identity is not known", oid);
  const count = message.readUInt16BE(at);
  at += 2;
  const columns: RelationColumn[] = [];
  for (let i = 0; i < count; i++) {
    const flags = message.readUInt8(at);
    const name = readText(message, at + 1);
    columns.push({
      name: name.text,
      typeOid: message.readUInt32BE(name.next),
      typeModifier: message.readInt32BE(name.next + 4),
      identity: (flags & 1) !== 0,
    });
    at = name.next + 8;
  }
  return { oid, schema: schema.text || "pg_catalog", table: table.text, identity, columns };
}

function readMessage(message: Buffer, position: number): EmittedMessage {
  const flags = message.readUInt8(position);
  const prefix = readText(message, position + 9);
  const start = prefix.next + 4;
  const end = start + message.readUInt32BE(prefix.next);
  if (end > message.length) throw new DecodeError("a logical message is longer than it came");
  return {
    transactional: (flags & 1) !== 0,
    lsn: readLsn(message, position + 1),
    prefix: prefix.text,
    content: message.subarray(start, end),
  };
}

/** The five have one form: two positions, a time (a rollback has two), the transaction, its name. */
function readTwoPhase(kind: TwoPhaseStep["kind"], message: Buffer, position: number): TwoPhaseStep {
  const after = position + (kind === "rollback-prepared" ? 32 : 24);
  return {
    kind,
    lsn: readLsn(message, position),
    endLsn: readLsn(message, position + 8),
    atUs: readTimestampUs(message, after - 8),
    xid: message.readUInt32BE(after),
    gid: readText(message, after + 4).text,
  };
}

/** Text up to its zero byte, and the place behind that. */
function readText(message: Buffer, position: number): { readonly text: string; readonly next: number } {
  const end = position < message.length ? message.indexOf(0, position) : -1;
  if (end < 0) throw new DecodeError("a text has no end");
  return { text: message.toString("utf8", position, end), next: end + 1 };
}

/** Starts, commits, aborts and prepares of streamed transactions, and the end of a block. */
function standsOutsideOfBlocks(kind: number): boolean {
  return kind === 0x45 || kind === 0x53 || kind === 0x63 || kind === 0x41 || kind === 0x70;
}

function uint32(bytes: Buffer, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

function uint16(bytes: Buffer, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** A cut message is read past its end, which Node reports as a RangeError. */
function asDecodeError(cause: unknown, message: Buffer, at: number): unknown {
  if (cause instanceof DecodeError) return cause.relationOid === null ? withRelation(cause, message, at) : cause;
  if (cause instanceof RangeError && "code" in cause) {
    return withRelation(new DecodeError("a message is shorter than its form"), message, at);
  }
  return cause;
}

function withRelation(error: DecodeError, message: Buffer, at: number): DecodeError {
  const aboutRow = message[0] === 0x49 || message[0] === 0x55 || message[0] === 0x44;
  return aboutRow && message.length >= at + 4 ? new DecodeError(error.message, message.readUInt32BE(at)) : error;
}

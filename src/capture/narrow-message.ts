/**
 * Columns that are not captured, taken out of what a server sends that cannot do so itself: before PostgreSQL 15 it
 * publishes all columns of a table. A message is written anew as a later server would have sent it, before anything else
 * sees it, so that what is left out is in no event and in nothing that is set aside.
 */
import type { TableDefinition } from "../catalog/definitions.ts";
import { readRelation } from "./pgoutput.ts";

/** First byte of a message, and of what stands in front of a row. */
const kinds = { relation: 0x52, insert: 0x49, update: 0x55, delete: 0x44 } as const;
const columnKinds = { null: 0x6e, unchanged: 0x75 } as const;

export class MessageNarrower {
  readonly #tables: readonly TableDefinition[];
  /** Places of the columns that are captured, by the server's number of the table; absent where all are. */
  readonly #kept = new Map<number, readonly number[]>();

  /** Null where the server leaves out itself what is to be left out. */
  static of(tables: readonly TableDefinition[], version: number): MessageNarrower | null {
    const some = tables.filter(({ columns }) => columns !== undefined);
    return version >= 150_000 || some.length === 0 ? null : new MessageNarrower(some);
  }

  private constructor(tables: readonly TableDefinition[]) {
    this.#tables = tables;
  }

  /** `at` is the place behind the message's kind, and behind its subtransaction where it has one. */
  narrow(message: Buffer, at: number): Buffer {
    switch (message[0]) {
      case kinds.relation:
        return this.#relation(message, at);
      case kinds.insert:
      case kinds.update:
      case kinds.delete: {
        const kept = this.#kept.get(message.readUInt32BE(at));
        return kept === undefined ? message : narrowRows(message, at + 4, kept);
      }
      default:
        return message;
    }
  }

  #relation(message: Buffer, at: number): Buffer {
    const { oid, schema, table, columns } = readRelation(message, at);
    const choice = this.#tables.find((one) => one.schema === schema && one.table === table)?.columns;
    this.#kept.delete(oid);
    if (choice === undefined) return message;
    const kept = columns.flatMap(({ name }, i) =>
      choice.names.includes(name) === (choice.kind === "only") ? [i] : [],
    );
    this.#kept.set(oid, kept);
    // Behind number, two names with their ends, and the identity.
    let place = message.indexOf(0, message.indexOf(0, at + 4) + 1) + 2;
    const parts = [message.subarray(0, place), uint16(kept.length)];
    place += 2;
    columns.forEach((_, i) => {
      const end = message.indexOf(0, place + 1) + 9;
      if (kept.includes(i)) parts.push(message.subarray(place, end));
      place = end;
    });
    return Buffer.concat(parts);
  }
}

/** One or two rows, each behind a byte that says what it is. */
function narrowRows(message: Buffer, from: number, kept: readonly number[]): Buffer {
  const parts = [message.subarray(0, from)];
  let place = from;
  while (place < message.length) {
    parts.push(message.subarray(place, place + 1), uint16(kept.length));
    const count = message.readUInt16BE(place + 1);
    place += 3;
    for (let i = 0; i < count; i++) {
      const kind = message[place];
      const bare = kind === columnKinds.null || kind === columnKinds.unchanged;
      const end = bare ? place + 1 : place + 5 + message.readUInt32BE(place + 1);
      if (kept.includes(i)) parts.push(message.subarray(place, end));
      place = end;
    }
  }
  return Buffer.concat(parts);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

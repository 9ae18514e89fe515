/**
 * The wire format of registry clients: a zero byte, the schema's id (four bytes, the highest first), and the payload.
 * Protobuf puts the way to its message between: the count of indexes and the indexes, as zigzag numbers, where a single
 * zero stands for the first message.
 */
import { AvroFault, AvroInput, AvroOutput } from "./avro/avro-bytes.ts";

const wireHeaderBytes = 5;

const magic = 0;
const idMax = 2 ** 31 - 1;
const indexesMax = 100;
const indexMax = 1_000_000;

/** `messageIndexes` are given for Protobuf only. */
export function encodeWire(id: number, payload: Buffer, messageIndexes?: readonly number[]): Buffer {
  if (!Number.isInteger(id) || id < 0 || id > idMax) throw new RangeError(`${id} is no id of a schema`);
  const header = Buffer.alloc(wireHeaderBytes);
  header[0] = magic;
  header.writeInt32BE(id, 1);
  if (messageIndexes === undefined) return Buffer.concat([header, payload]);
  return Buffer.concat([header, encodeMessageIndexes(messageIndexes), payload]);
}

/** Null when the bytes are not in the wire format. The payload lies in the buffer: not a copy. */
export function readWire(buffer: Buffer): { readonly id: number; readonly payload: Buffer } | null {
  if (buffer.length < wireHeaderBytes || buffer[0] !== magic) return null;
  const id = buffer.readInt32BE(1);
  return id < 0 ? null : { id, payload: buffer.subarray(wireHeaderBytes) };
}

function encodeMessageIndexes(indexes: readonly number[]): Buffer {
  if (indexes.length === 1 && indexes[0] === 0) return Buffer.alloc(1);
  const out = new AvroOutput();
  out.long(indexes.length);
  for (const index of indexes) out.long(index);
  return out.finish();
}

/** Null when they cannot be read. */
export function readMessageIndexes(
  payload: Buffer,
): { readonly indexes: readonly number[]; readonly payload: Buffer } | null {
  const input = new AvroInput(payload);
  try {
    const count = input.count();
    if (count < 0 || count > indexesMax) return null;
    const indexes = count === 0 ? [0] : Array.from({ length: count }, () => input.count());
    if (indexes.some((index) => index < 0 || index > indexMax)) return null;
    return { indexes, payload: payload.subarray(payload.length - input.left) };
  } catch (cause) {
    if (cause instanceof AvroFault) return null;
    throw cause;
  }
}

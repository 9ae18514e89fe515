/** Reads record batches and checksums with nothing of the product's code: for the judges of what it has written. */

export interface DecodedBatch {
  readonly bytes: Buffer;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly attributes: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly sequence: number;
}

/** The batch that begins at `at`; undefined when there is none, or not all of it is right. */
export function batchAt(bytes: Buffer, at: number): DecodedBatch | undefined {
  if (bytes.length - at < 61 || bytes[at + 16] !== 2) return undefined;
  const batchBytes = 12 + bytes.readInt32BE(at + 8);
  if (batchBytes < 61 || at + batchBytes > bytes.length) return undefined;
  const batch = bytes.subarray(at, at + batchBytes);
  if (crc32c(batch.subarray(21)) !== batch.readUInt32BE(17)) return undefined;
  const baseOffset = int64At(batch, 0);
  return {
    bytes: batch,
    baseOffset,
    lastOffset: baseOffset + batch.readInt32BE(23),
    attributes: batch.readInt16BE(21),
    producerId: int64At(batch, 43),
    producerEpoch: batch.readInt16BE(51),
    sequence: batch.readInt32BE(53),
  };
}

export const isTransactional = ({ attributes }: DecodedBatch) => (attributes & 16) !== 0;
export const isControl = ({ attributes }: DecodedBatch) => (attributes & 32) !== 0;

/** Uncompressed only. Headers of records are skipped. */
export function rawRecords({
  bytes,
  attributes,
}: DecodedBatch): { delta: number; key: Buffer | null; value: Buffer | null }[] {
  if ((attributes & 7) !== 0) throw new Error("a compressed batch, which is not decoded here");
  let at = 61;
  const varint = () => {
    let [raw, scale] = [0, 1];
    for (let byte = 0x80; byte >= 0x80; scale *= 128) {
      byte = bytes[at++] as number;
      raw += (byte & 0x7f) * scale;
    }
    return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
  };
  const field = () => {
    const count = varint();
    const start = at;
    at += Math.max(0, count);
    return count < 0 ? null : bytes.subarray(start, at);
  };
  return Array.from({ length: bytes.readInt32BE(57) }, () => {
    const length = varint();
    const end = at + length;
    at++;
    varint();
    const record = { delta: varint(), key: field(), value: field() };
    at = end;
    return record;
  });
}

export function int64At(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
}

export function uuidAt(bytes: Buffer, at: number): string {
  return bytes.toString("hex", at, at + 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** RFC 3720, appendix B.4: the polynomial 0x1edc6f41, reflected. */
const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

export function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    crc = (crc >>> 8) ^ (crcTable[(crc ^ (bytes[i] as number)) & 0xff] as number);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** 64-bit fields as numbers. Within 2^53 either side of zero they are exact; beyond, `readInt64` answers NaN. */

export function readInt64(bytes: Buffer, position: number): number {
  const value = bytes.readInt32BE(position) * 0x100000000 + bytes.readUInt32BE(position + 4);
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

export function writeInt64(bytes: Buffer, position: number, value: number): void {
  bytes.writeInt32BE(Math.floor(value / 0x100000000), position);
  bytes.writeUInt32BE(value >>> 0, position + 4);
}

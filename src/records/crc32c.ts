/** CRC-32C (Castagnoli, RFC 3720 appendix B.4): native where the package loads, else slicing-by-8 of our own. */
import { createRequire } from "node:module";

const tables: Uint32Array[] = Array.from({ length: 8 }, () => new Uint32Array(256));
for (let i = 0; i < 256; i++) {
  let crc = i;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  (tables[0] as Uint32Array)[i] = crc;
}
for (let slice = 1; slice < 8; slice++) {
  const previous = tables[slice - 1] as Uint32Array;
  const table = tables[slice] as Uint32Array;
  for (let i = 0; i < 256; i++) {
    const crc = previous[i] as number;
    table[i] = (crc >>> 8) ^ ((tables[0] as Uint32Array)[crc & 0xff] as number);
  }
}

/** Eight bytes a step (Kounavis and Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation"). */
export function crc32cSliced(bytes: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  const at = (i: number) => bytes[i] as number;
  let crc = 0xffffffff;
  let i = 0;
  for (const end = bytes.length - 7; i < end; i += 8) {
    const low = crc ^ (at(i) | (at(i + 1) << 8) | (at(i + 2) << 16) | (at(i + 3) << 24));
    crc =
      (t7[low & 0xff] as number) ^
      (t6[(low >>> 8) & 0xff] as number) ^
      (t5[(low >>> 16) & 0xff] as number) ^
      (t4[low >>> 24] as number) ^
      (t3[at(i + 4)] as number) ^
      (t2[at(i + 5)] as number) ^
      (t1[at(i + 6)] as number) ^
      (t0[at(i + 7)] as number);
  }
  for (; i < bytes.length; i++) crc = (crc >>> 8) ^ (t0[(crc ^ at(i)) & 0xff] as number);
  return (crc ^ 0xffffffff) >>> 0;
}

function loadNative(): ((bytes: Uint8Array) => number) | undefined {
  try {
    const { crc32c: native } = createRequire(import.meta.url)("@node-rs/crc32") as {
      crc32c: (bytes: Uint8Array) => number;
    };
    return native(Buffer.from("123456789")) === 0xe3069283 ? (bytes) => native(bytes) : undefined;
  } catch {
    return undefined;
  }
}

/** As an unsigned 32-bit number. */
export const crc32c: (bytes: Uint8Array) => number = loadNative() ?? crc32cSliced;

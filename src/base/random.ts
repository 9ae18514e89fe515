/** Randomness, handed in, so that a test can replay it from a seed. */
import { randomBytes } from "node:crypto";

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform whole number in [0, limit). */
  below(limit: number): number;
  bytes(count: number): Buffer;
  /** A version 4 UUID (RFC 9562). */
  uuid(): string;
}

export const systemRandom: Random = fromBytes(randomBytes);

/** Reproducible, not for secrets (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const word = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return fromBytes(
    (count) => {
      const bytes = Buffer.alloc(count);
      for (let i = 0; i < count; i++) bytes[i] = word() >>> 24;
      return bytes;
    },
    () => word() / 2 ** 32,
  );
}

function fromBytes(bytes: (count: number) => Buffer, next = () => bytes(6).readUIntBE(0, 6) / 2 ** 48): Random {
  return {
    next,
    below: (limit) => Math.floor(next() * limit),
    bytes,
    uuid() {
      const b = bytes(16);
      b[6] = ((b[6] as number) & 0x0f) | 0x40;
      b[8] = ((b[8] as number) & 0x3f) | 0x80;
      const hex = b.toString("hex");
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    },
  };
}

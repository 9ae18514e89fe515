import type { Random } from "../base/random.ts";

const firstMs = 100;
const mostMs = 5_000;

/** The pause after failed attempt number `attempt` (from 0): doubling, and each a little different, so that processes do not call in step. */
export function backoffMs(attempt: number, random: Random): number {
  return Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 10)) * (0.5 + random.next() / 2);
}

/** Versions of APIs, for steps that are taken once for each. */
import type { Api } from "../../../../../src/kafka/fields.ts";

export function versionsOf({ versions: [lowest, highest] }: Api): number[] {
  return Array.from({ length: highest - lowest + 1 }, (_, index) => lowest + index);
}

/** The version that the round of this number takes: the lowest at 0, the highest for all rounds beyond it. */
export function versionAt({ versions: [lowest, highest] }: Api, round: number): number {
  return Math.min(lowest + round, highest);
}

/** So many rounds see every version of these. */
export function roundsOf(apis: readonly Api[]): number[] {
  const count = Math.max(...apis.map(({ versions: [lowest, highest] }) => highest - lowest + 1));
  return Array.from({ length: count }, (_, index) => index);
}

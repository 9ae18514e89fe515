/** Confluent's levels of compatibility, and what each asks of a new version. Pure. */

export const levels = [
  "BACKWARD",
  "BACKWARD_TRANSITIVE",
  "FORWARD",
  "FORWARD_TRANSITIVE",
  "FULL",
  "FULL_TRANSITIVE",
  "NONE",
] as const;

export type Level = (typeof levels)[number];

const sentences: Readonly<Record<Level, string>> = {
  BACKWARD: "A new version must read data of the last one.",
  BACKWARD_TRANSITIVE: "A new version must read data of all earlier ones.",
  FORWARD: "The last version must read data of a new one.",
  FORWARD_TRANSITIVE: "All earlier versions must read data of a new one.",
  FULL: "A new version and the last one must read each other's data.",
  FULL_TRANSITIVE: "A new version and all earlier ones must read each other's data.",
  NONE: "New versions are compared with nothing.",
};

export function levelSentence(level: Level): string {
  return sentences[level] ?? "";
}

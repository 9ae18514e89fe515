/** Compatibility levels: which earlier versions a new one is compared with, and who reads whom. */
import { incompatibilities } from "./incompatibilities.ts";
import type { Incompatibility, ParsedSchema } from "./parsed-schema.ts";

export const compatibilityLevels = [
  "NONE",
  "BACKWARD",
  "BACKWARD_TRANSITIVE",
  "FORWARD",
  "FORWARD_TRANSITIVE",
  "FULL",
  "FULL_TRANSITIVE",
] as const;

export type CompatibilityLevel = (typeof compatibilityLevels)[number];

export interface CompatibilityProblem extends Incompatibility {
  /** The index of the earlier schema that is concerned. */
  readonly earlier: number;
}

export interface CompatibilityVerdict {
  readonly compatible: boolean;
  readonly problems: readonly CompatibilityProblem[];
}

/**
 * `earlier` has the newest schema last. Backward: the new schema reads what the earlier wrote. Forward: the earlier
 * reads what the new will write. Full: both. Transitive: all earlier ones, else the newest alone.
 */
export function checkCompatibility(
  level: CompatibilityLevel,
  newSchema: ParsedSchema,
  earlier: readonly ParsedSchema[],
): CompatibilityVerdict {
  const [direction, transitive] = level.split("_");
  const problems: CompatibilityProblem[] = [];
  const first = transitive === undefined ? Math.max(0, earlier.length - 1) : 0;
  // The newest first: its problems are the ones that matter most.
  for (let i = earlier.length - 1; i >= first; i--) {
    const old = earlier[i] as ParsedSchema;
    if (direction === "BACKWARD" || direction === "FULL") {
      problems.push(...told(incompatibilities(newSchema, old), i, "the new schema cannot read the earlier one's data"));
    }
    if (direction === "FORWARD" || direction === "FULL") {
      problems.push(...told(incompatibilities(old, newSchema), i, "the earlier schema cannot read the new one's data"));
    }
  }
  return { compatible: problems.length === 0, problems };
}

function told(found: readonly Incompatibility[], earlier: number, who: string): CompatibilityProblem[] {
  return found.map(({ path, kind, message }) => ({ path, kind, message: `${who}: ${message}`, earlier }));
}

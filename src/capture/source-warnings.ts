/** Sentences for the operator that a source's own history brings about. Pure. */
import { rejectedTopic } from "./names.ts";
import type { CaptureProgress } from "./progress.ts";

/** What was set aside since this process began. */
export interface SetAside {
  readonly count: number;
  /** Why the last of it was. */
  readonly last: string;
}

export function historyWarnings(source: string, progress: CaptureProgress | null, { count, last }: SetAside): string[] {
  const gap = progress?.gap;
  const warnings: string[] = [];
  if (gap !== undefined) {
    warnings.push(
      `changes between ${gap.from} and ${gap.to} may be missing: the server's position was adopted (${gap.code})`,
    );
  }
  if (count > 0) warnings.push(`rows set aside in topic ${rejectedTopic(source)}: ${count}; the last: ${last}`);
  return warnings;
}

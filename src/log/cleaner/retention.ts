/**
 * Which segments are retired: whole closed ones from the log's start, by Kafka's rules (`UnifiedLog.deleteOldSegments`).
 * First those wholly below the log's start, then by size, then by time; each rule ends at the first segment that it keeps.
 *
 * A segment's age is that of its largest timestamp. One in the future keeps its segment, and with it all later ones, until
 * that time has come and `retentionMs` passed. A segment without timestamps (-1) has the age of its last write; where that
 * is not known, its age retires nothing.
 *
 * What a reader of this program has not read yet is held: for it the time and the size are twice those of the settings.
 */
export interface RetainedSegment {
  readonly baseOffset: number;
  /** The offset behind it: where the next segment begins. */
  readonly endOffset: number;
  readonly sizeBytes: number;
  /** -1 when no batch of it has one. */
  readonly maxTimestamp: number;
  /** When it was last written; used when there is no timestamp. */
  readonly writtenMs?: number;
}

export interface RetentionSettings {
  readonly cleanup: "delete" | "compact" | "compact,delete";
  readonly retentionMs: number | null;
  readonly retentionBytes: number | null;
}

export interface RetentionState {
  /** In offset order; the last one is active, and is never retired. */
  readonly segments: readonly RetainedSegment[];
  readonly settings: RetentionSettings;
  readonly nowMs: number;
  readonly logStart: number;
  /**
   * A segment that reaches past it stays. It is never past the high watermark; Kafka goes up to that one, we keep what an
   * open transaction has written.
   */
  readonly lastStable: number;
  /** Records from here on are held; null where nobody holds any. */
  readonly heldFrom: number | null;
}

/** Of time and size, of what is held. */
const heldTimes = 2;

export interface RetentionPlan {
  /** Leading segments to retire. */
  readonly count: number;
  /** How many of them for each reason. */
  readonly belowLogStart: number;
  readonly bySize: number;
  readonly byTime: number;
  /** Segments that stay only because they are held. */
  readonly held: number;
  /** True when records are among those to retire that were held in vain. */
  readonly losesHeld: boolean;
}

export function planRetention(state: RetentionState): RetentionPlan {
  const plan = planWith(state, state.heldFrom);
  const unheld = state.heldFrom === null ? plan : planWith(state, null);
  const last = state.segments[plan.count - 1];
  const losesHeld =
    state.heldFrom !== null && last !== undefined && plan.count > plan.belowLogStart && last.endOffset > state.heldFrom;
  return { ...plan, held: unheld.count - plan.count, losesHeld };
}

type Counts = Omit<RetentionPlan, "held" | "losesHeld">;

function planWith(state: RetentionState, heldFrom: number | null): Counts {
  const { segments, settings, nowMs, logStart, lastStable } = state;
  const timesOf = ({ endOffset }: RetainedSegment) => (heldFrom !== null && endOffset > heldFrom ? heldTimes : 1);
  let count = 0;
  const retireWhile = (expired: (segment: RetainedSegment) => boolean): number => {
    const before = count;
    for (; count < segments.length - 1; count++) {
      const segment = segments[count] as RetainedSegment;
      if (segment.endOffset > lastStable || !expired(segment)) break;
    }
    return count - before;
  };

  const belowLogStart = retireWhile((segment) => segment.endOffset <= logStart);
  if (settings.cleanup === "compact") return { count, belowLogStart, bySize: 0, byTime: 0 };

  let bySize = 0;
  const { retentionBytes, retentionMs } = settings;
  if (retentionBytes !== null) {
    let leftBytes = 0;
    for (let i = count; i < segments.length; i++) leftBytes += (segments[i] as RetainedSegment).sizeBytes;
    bySize = retireWhile((segment) => {
      leftBytes -= segment.sizeBytes;
      return leftBytes >= retentionBytes * timesOf(segment);
    });
  }

  let byTime = 0;
  if (retentionMs !== null) {
    byTime = retireWhile((segment) => {
      const newestMs = segment.maxTimestamp >= 0 ? segment.maxTimestamp : segment.writtenMs;
      return newestMs !== undefined && nowMs - newestMs > retentionMs * timesOf(segment);
    });
  }
  return { count, belowLogStart, bySize, byTime };
}

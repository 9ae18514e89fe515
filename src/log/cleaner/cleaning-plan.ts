/**
 * Whether a partition is to be compacted, how far, and which segments become one (Kafka's `LogCleanerManager`).
 *
 * Always true: the range that is cleaned ends where a segment begins, at or before the active one, and nothing at or past
 * the last stable offset is in it.
 */
export interface CleanableSegment {
  readonly baseOffset: number;
  readonly sizeBytes: number;
  /** -1 when no batch of it has one. */
  readonly maxTimestamp: number;
  /** The largest timestamp of its first batch: as good as its oldest; -1 when it is not known. */
  readonly firstTimestamp: number;
}

export interface CleaningSettings {
  readonly dirtyRatioMin: number;
  readonly compactionLagMinMs: number;
  readonly compactionLagMaxMs: number | null;
}

export interface CleaningState {
  /** In offset order; the last one is active. */
  readonly segments: readonly CleanableSegment[];
  /** Where the last cleaning ended; undefined when there was none. */
  readonly cleanedTo: number | undefined;
  readonly lastStable: number;
  readonly settings: CleaningSettings;
  readonly nowMs: number;
}

export interface CleaningPlan {
  readonly firstDirtyOffset: number;
  /** The first offset that is not cleaned; `firstDirtyOffset` at least. */
  readonly cleanableEnd: number;
  readonly dirtyBytes: number;
  readonly cleanBytes: number;
  /** Of the bytes below `cleanableEnd`; 0 when there are none. */
  readonly dirtyRatio: number;
  /** A dirty segment is older than the longest time that a record may wait. */
  readonly isOverdue: boolean;
  readonly isDue: boolean;
}

export function planCleaning(state: CleaningState): CleaningPlan {
  const { segments, settings, nowMs } = state;
  const start = segments[0]?.baseOffset ?? 0;
  const active = segments.at(-1)?.baseOffset ?? 0;
  // A mark that lies outside of what there is says nothing: all is taken as dirty, which costs work and loses nothing.
  const known = state.cleanedTo !== undefined && state.cleanedTo >= start && state.cleanedTo <= active;
  const firstDirtyOffset = known ? (state.cleanedTo as number) : start;
  const dirtyAt = Math.max(0, segmentAt(segments, firstDirtyOffset));

  const cleanableAt = cleanableSegments(state, dirtyAt);
  const cleanableEnd = Math.max(firstDirtyOffset, segments[cleanableAt]?.baseOffset ?? start);
  let cleanBytes = 0;
  let dirtyBytes = 0;
  let oldestMs = Number.POSITIVE_INFINITY;
  for (let i = 0; i < cleanableAt; i++) {
    const segment = segments[i] as CleanableSegment;
    if (i < dirtyAt) cleanBytes += segment.sizeBytes;
    else {
      dirtyBytes += segment.sizeBytes;
      if (segment.firstTimestamp > 0) oldestMs = Math.min(oldestMs, segment.firstTimestamp);
    }
  }
  const { compactionLagMaxMs, dirtyRatioMin } = settings;
  const dirtyRatio = dirtyBytes === 0 ? 0 : dirtyBytes / (dirtyBytes + cleanBytes);
  const isOverdue = dirtyBytes > 0 && compactionLagMaxMs !== null && oldestMs < nowMs - compactionLagMaxMs;
  const isDue = dirtyBytes > 0 && (isOverdue || dirtyRatio > dirtyRatioMin);
  return { firstDirtyOffset, cleanableEnd, dirtyBytes, cleanBytes, dirtyRatio, isOverdue, isDue };
}

/** The one to be cleaned first: of those that are due the dirtiest; undefined when none is due. */
export function dirtiest<T>(candidates: Iterable<T>, planOf: (candidate: T) => CleaningPlan): T | undefined {
  let found: T | undefined;
  let ratio = -1;
  for (const candidate of candidates) {
    const plan = planOf(candidate);
    if (!plan.isDue || plan.dirtyRatio <= ratio) continue;
    found = candidate;
    ratio = plan.dirtyRatio;
  }
  return found;
}

/** Offsets in a segment's index are relative to its first, in 32 bits; Kafka's have 31. */
const offsetSpanMax = 2 ** 31;

/**
 * Neighbours that become one segment: as many as stay within `segmentBytesMax` together, before anything is removed, and
 * span fewer than 2^31 offsets. `endOffset` is that of the last one.
 */
export function groupSegments<T extends { readonly baseOffset: number; readonly sizeBytes: number }>(
  segments: readonly T[],
  endOffset: number,
  segmentBytesMax: number,
): T[][] {
  const groups: T[][] = [];
  let group: T[] = [];
  let groupBytes = 0;
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i] as T;
    const segmentEnd = segments[i + 1]?.baseOffset ?? endOffset;
    const first = group[0];
    const fits =
      first !== undefined &&
      groupBytes + segment.sizeBytes <= segmentBytesMax &&
      segmentEnd - first.baseOffset < offsetSpanMax;
    if (fits) group.push(segment);
    else {
      group = [segment];
      groupBytes = 0;
      groups.push(group);
    }
    groupBytes += segment.sizeBytes;
  }
  return groups;
}

/** How many leading segments may be cleaned. */
function cleanableSegments({ segments, lastStable, settings, nowMs }: CleaningState, dirtyAt: number): number {
  const { compactionLagMinMs } = settings;
  let count = 0;
  for (; count < segments.length - 1; count++) {
    const segment = segments[count] as CleanableSegment;
    if ((segments[count + 1] as CleanableSegment).baseOffset > lastStable) break;
    // What was cleaned before stays cleanable, also when the lag was made longer since.
    const isDirty = count >= dirtyAt;
    if (isDirty && compactionLagMinMs > 0 && segment.maxTimestamp > nowMs - compactionLagMinMs) break;
  }
  return count;
}

/** The last segment that begins at `offset` or before it; -1 when there is none. */
function segmentAt(segments: readonly CleanableSegment[], offset: number): number {
  let low = -1;
  for (let high = segments.length - 1; low < high; ) {
    const middle = (low + high + 1) >> 1;
    if ((segments[middle] as CleanableSegment).baseOffset <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

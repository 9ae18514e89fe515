/**
 * Marks: moments that the events of a partition are taken to have come to, although none has told so. A partition that gets
 * no records would hold back the watermark of its topic; one that was added later would begin behind it. A mark stands at an
 * offset: it counts for all records from there on.
 *
 * Always true: a mark is in the log before it has any effect, so that whoever reads the records again, be it after the store
 * was lost, finds each of them as late as it was. Not here: when one is made (`group-watermarks.ts`).
 */
export interface Mark {
  /** Of the first record that it counts for. */
  readonly offset: number;
  readonly ms: number;
}

/** Of one partition; past it the partition holds back its topic. */
export const marksMax = 4_000;

/** The moment of the last mark at or below an offset; null where there is none. Marks are in the order of offsets, and of moments. */
export function markedMs(marks: readonly Mark[], offset: number): number | null {
  let [low, high] = [0, marks.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((marks[middle]?.offset ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return marks[low - 1]?.ms ?? null;
}

/** With one more; null where there are too many. What the log has let go needs no more than the last mark below it. */
export function withMark(marks: readonly Mark[], mark: Mark, logStart: number): readonly Mark[] | null {
  const others = marks.filter(({ offset }) => offset !== mark.offset);
  const last = Math.max(...others.map(({ offset }) => offset).filter((offset) => offset <= logStart));
  const kept = [...others.filter(({ offset }) => offset >= last), mark].sort((a, b) => a.offset - b.offset);
  return kept.length > marksMax ? null : kept;
}

/** As the log has them; whatever else is there is none. */
export function readMarks(value: unknown): readonly Mark[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown): Mark[] => {
    const [offset, ms] = Array.isArray(one) ? (one as unknown[]) : [];
    return typeof offset === "number" && typeof ms === "number" ? [{ offset, ms }] : [];
  });
}

export function printMarks(marks: readonly Mark[]): readonly (readonly [offset: number, ms: number])[] {
  return marks.map(({ offset, ms }) => [offset, ms]);
}

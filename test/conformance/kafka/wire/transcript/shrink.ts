/** Takes steps out of a transcript for as long as what is left still shows a difference. */

/** `fails` is asked about indexes; it is true of all of them. */
export async function shrink(
  indexes: readonly number[],
  fails: (kept: readonly number[]) => Promise<boolean>,
  isOver: () => boolean,
): Promise<readonly number[]> {
  let kept = indexes;
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < kept.length && !isOver(); ) {
      const fewer = [...kept.slice(0, from), ...kept.slice(from + size)];
      if (fewer.length > 0 && (await fails(fewer))) kept = fewer;
      else from += size;
    }
  }
  return kept;
}

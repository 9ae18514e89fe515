/** Below this a loop beats a call into the runtime. */
const shortBytes = 48;

/** As `from.copy(to, at, start, end)`; there must be room. Faster for the few bytes of a name or a number. */
export function copyBytes(from: Buffer, start: number, end: number, to: Buffer, at: number): void {
  if (end - start >= shortBytes) {
    from.copy(to, at, start, end);
    return;
  }
  const ahead = at - start;
  for (let i = start; i < end; i++) to[i + ahead] = from[i] as number;
}

/**
 * Two versions of a schema line by line: the shortest script of insertions and deletions (E. Myers, "An O(ND) Difference
 * Algorithm and Its Variations", 1986). Pure.
 */

export interface DiffLine {
  readonly kind: "same" | "added" | "removed";
  readonly text: string;
}

/** Lines that are alike on both sides and far from any other. */
export interface Fold {
  readonly kind: "fold";
  readonly lines: number;
}

/** Texts that differ in more lines than this are shown as one taken away and one added. */
const editsMax = 400;

/** JSON by members, so that one that is added is a line of its own; other text as it is. */
export function printed(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

export function diffLines(before: string, after: string): DiffLine[] {
  const a = before.split("\n");
  const b = after.split("\n");
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  const same = (lines: string[]) => lines.map((text): DiffLine => ({ kind: "same", text }));
  const middle = differences(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  return [...same(a.slice(0, head)), ...middle, ...same(a.slice(a.length - tail))];
}

function differences(a: readonly string[], b: readonly string[]): DiffLine[] {
  const trace = forward(a, b);
  if (trace === null) return [...a.map(removed), ...b.map(added)];
  const lines: DiffLine[] = [];
  let [x, y] = [a.length, b.length];
  for (let edits = trace.length - 1; edits >= 0; edits--) {
    const furthest = trace[edits] as ReadonlyMap<number, number>;
    const k = x - y;
    const at = (diagonal: number) => furthest.get(diagonal) ?? -1;
    const down = k === -edits || (k !== edits && at(k - 1) < at(k + 1));
    const fromX = edits === 0 ? 0 : at(down ? k + 1 : k - 1);
    const fromY = edits === 0 ? 0 : fromX - (down ? k + 1 : k - 1);
    while (x > fromX && y > fromY) {
      lines.push({ kind: "same", text: a[--x] as string });
      y--;
    }
    if (edits === 0) break;
    if (down) lines.push(added(b[--y] as string));
    else lines.push(removed(a[--x] as string));
  }
  return lines.reverse();
}

/** For each number of edits, how far along `a` each diagonal was reached with one edit less; null past `editsMax`. */
function forward(a: readonly string[], b: readonly string[]): ReadonlyMap<number, number>[] | null {
  const trace: ReadonlyMap<number, number>[] = [];
  const furthest = new Map<number, number>([[1, 0]]);
  for (let edits = 0; edits <= Math.min(a.length + b.length, editsMax); edits++) {
    trace.push(new Map(furthest));
    for (let k = -edits; k <= edits; k += 2) {
      const left = furthest.get(k - 1) ?? -1;
      const right = furthest.get(k + 1) ?? -1;
      let x = k === -edits || (k !== edits && left < right) ? right : left + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      furthest.set(k, x);
      if (x >= a.length && x - k >= b.length) return trace;
    }
  }
  return null;
}

function added(text: string): DiffLine {
  return { kind: "added", text };
}

function removed(text: string): DiffLine {
  return { kind: "removed", text };
}

/** Long runs of lines that are alike are folded, but for `around` next to a difference. */
export function folded(lines: readonly DiffLine[], around = 3): (DiffLine | Fold)[] {
  const near = new Set<number>();
  for (const [i, { kind }] of lines.entries()) {
    if (kind !== "same") for (let j = i - around; j <= i + around; j++) near.add(j);
  }
  const shown: (DiffLine | Fold)[] = [];
  for (let i = 0; i < lines.length; ) {
    let end = i;
    while (end < lines.length && !near.has(end)) end++;
    // A fold of one line would hide nothing.
    if (end - i > 1) shown.push({ kind: "fold", lines: end - i });
    else for (let j = i; j < Math.max(end, i + 1); j++) shown.push(lines[j] as DiffLine);
    i = Math.max(end, i + 1);
  }
  return shown;
}

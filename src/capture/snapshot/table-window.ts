/**
 * What the stream did to one table while it is read by chunks: decides of each row of a chunk whether it is still true.
 * Pure. The method is DBLog's (arXiv 2010.12597), with the server's own account of visibility in place of a low watermark.
 *
 * A chunk is read in one snapshot, and its rows are taken when the stream has passed a place that lies behind everything
 * which that snapshot sees (the high watermark). Then for each key:
 * - changed by a transaction that the snapshot does not see: the stream has the newer row, and the chunk's row is dropped.
 *   That holds however early it was streamed: the commit record of a transaction can precede its visibility by any time
 *   (a standby that must confirm it), so that no place in the stream, but only the snapshot, tells what a chunk has seen;
 * - else the row is the key's at this place of the stream, for all that the snapshot sees lies before it.
 *
 * Of transactions that changed one key, a snapshot that sees a later one sees the earlier ones: the later one had to
 * wait for the earlier one's lock, which is held until it is visible. Therefore the last one of each key is enough.
 *
 * Large values that an update leaves alone are not in the stream. When such an update comes before its row, the topic has
 * a row with gaps. They are filled from the chunk's row where it is the same row (`fill`); a row that got its key by the
 * update is not in the chunk under that key, and is read again by it (`owed`).
 */

/** The part of a snapshot that is asked. */
export interface Visibility {
  sees(xid: number): boolean;
}

export type RowDecision =
  | { readonly kind: "write" }
  | { readonly kind: "drop" }
  /** Only these columns are written: the stream did not send them. */
  | { readonly kind: "fill"; readonly columns: ReadonlySet<number> };

interface Touch {
  readonly xid: number;
  /** Columns that the topic does not have of this row; empty when it has the row whole, or the row is gone. */
  readonly gaps: ReadonlySet<number>;
  /** It has this key by an update of another one. */
  readonly moved: boolean;
}

const none: ReadonlySet<number> = new Set();
const write: RowDecision = { kind: "write" };
const drop: RowDecision = { kind: "drop" };

export class TableWindow {
  readonly #keysMax: number;
  readonly #touched = new Map<string, Touch>();
  readonly #owed = new Set<string>();
  #truncatedBy: number | null = null;
  #overflowed = false;

  constructor(keysMax = 200_000) {
    this.#keysMax = keysMax;
  }

  /** More keys were changed than are remembered: what was read since cannot be judged. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  /** Keys whose rows have gaps in the topic that their own chunk may not fill. */
  get owed(): ReadonlySet<string> {
    return this.#owed;
  }

  get size(): number {
    return this.#touched.size;
  }

  /** A row is there as it was sent, but for the columns that were left alone. */
  upserted(xid: number, key: string, unchanged: readonly number[]): void {
    const before = this.#touched.get(key);
    const gaps = unchanged.length === 0 ? none : gapsAfter(before?.gaps, unchanged);
    this.#touch(key, { xid, gaps, moved: gaps.size > 0 && (before?.moved ?? false) });
    if (gaps.size === 0) this.#owed.delete(key);
  }

  /** An update gave a row another key. */
  moved(xid: number, from: string, to: string, unchanged: readonly number[]): void {
    const gaps = unchanged.length === 0 ? none : gapsAfter(this.#touched.get(from)?.gaps, unchanged);
    this.removed(xid, from);
    this.#touch(to, { xid, gaps, moved: gaps.size > 0 });
    if (gaps.size > 0) this.#owed.add(to);
    else this.#owed.delete(to);
  }

  removed(xid: number, key: string): void {
    this.#touch(key, { xid, gaps: none, moved: false });
    this.#owed.delete(key);
  }

  truncated(xid: number): void {
    this.#touched.clear();
    this.#owed.clear();
    this.#truncatedBy = xid;
  }

  /** Of a row that was read in this snapshot, asked when the stream has passed the chunk's watermark. */
  decide(key: string, snapshot: Visibility): RowDecision {
    if (this.#truncatedBy !== null && !snapshot.sees(this.#truncatedBy)) return drop;
    const touch = this.#touched.get(key);
    if (touch === undefined || snapshot.sees(touch.xid)) return write;
    if (touch.gaps.size === 0 || touch.moved) return drop;
    return { kind: "fill", columns: touch.gaps };
  }

  /** What became of a key that was read again because of its gaps: `found` is the decision on its row, null when it has none. */
  settled(key: string, found: RowDecision | null, snapshot: Visibility): void {
    const touch = this.#touched.get(key);
    const pending = touch !== undefined && !snapshot.sees(touch.xid) && touch.gaps.size > 0;
    if (pending && found?.kind !== "fill") return;
    this.#owed.delete(key);
  }

  /** Forgets what this snapshot sees, and every later one therefore. Call it when the snapshot's chunk is done. */
  forget(snapshot: Visibility): void {
    for (const [key, { xid }] of this.#touched) if (snapshot.sees(xid)) this.#touched.delete(key);
    if (this.#truncatedBy !== null && snapshot.sees(this.#truncatedBy)) this.#truncatedBy = null;
  }

  /** Begins anew: only snapshots that see everything up to now may be judged from here on. Owed keys stay. */
  clear(): void {
    this.#touched.clear();
    this.#truncatedBy = null;
    this.#overflowed = false;
  }

  #touch(key: string, touch: Touch): void {
    this.#touched.set(key, touch);
    if (this.#touched.size + this.#owed.size <= this.#keysMax) return;
    this.#overflowed = true;
    this.#touched.clear();
  }
}

function gapsAfter(before: ReadonlySet<number> | undefined, unchanged: readonly number[]): ReadonlySet<number> {
  return new Set(before === undefined ? unchanged : unchanged.filter((column) => before.has(column)));
}

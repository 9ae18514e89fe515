/**
 * Which transactions a snapshot of the server sees, by the text of `pg_current_snapshot()`: `xmin:xmax:xip,…`, numbers
 * of 64 bits. The stream numbers transactions with 32 bits of the same number.
 */

const wrap = 2 ** 32;

export class SnapshotVisibility {
  readonly xmin: number;
  readonly xmax: number;
  readonly #running: ReadonlySet<number>;

  private constructor(xmin: number, xmax: number, running: ReadonlySet<number>) {
    this.xmin = xmin;
    this.xmax = xmax;
    this.#running = running;
  }

  /** Throws `RangeError` when the text is no snapshot. */
  static parse(text: string): SnapshotVisibility {
    const match = /^(\d+):(\d+):([\d,]*)$/.exec(text);
    if (match === null) throw new RangeError(`not a snapshot: ${text.slice(0, 40)}`);
    const running = (match[3] ?? "").split(",").filter((one) => one !== "");
    return new SnapshotVisibility(Number(match[1]), Number(match[2]), new Set(running.map(Number)));
  }

  /** `xid` is of 32 bits, and of a transaction that was committed. */
  sees(xid: number): boolean {
    const full = this.#widened(xid);
    return full < this.xmin || (full < this.xmax && !this.#running.has(full));
  }

  /** The number that lies nearest to the snapshot's end: transactions further apart cannot both be alive. */
  #widened(xid: number): number {
    const low = xid >>> 0;
    const full = Math.floor(this.xmax / wrap) * wrap + low;
    if (full - this.xmax > wrap / 2) return full - wrap;
    if (this.xmax - full > wrap / 2) return full + wrap;
    return full;
  }
}

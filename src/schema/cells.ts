/**
 * One row as it came: for each column the place of its text in a shared buffer. Made once and filled again for each
 * row, so that no row costs an object.
 */
export const cellState = { null: 0, text: 1, unchanged: 2 } as const;

const noColumns: readonly number[] = [];

export class Cells {
  bytes: Buffer = Buffer.alloc(0);
  count = 0;
  state: Uint8Array;
  start: Int32Array;
  end: Int32Array;

  constructor(columns = 64) {
    this.state = new Uint8Array(columns);
    this.start = new Int32Array(columns);
    this.end = new Int32Array(columns);
  }

  /** Room for this many columns; what was in it is forgotten. */
  reset(bytes: Buffer, count: number): void {
    if (count > this.state.length) {
      this.state = new Uint8Array(count * 2);
      this.start = new Int32Array(count * 2);
      this.end = new Int32Array(count * 2);
    }
    this.bytes = bytes;
    this.count = count;
  }

  /** Columns whose value was not sent because it did not change. */
  unchanged(): readonly number[] {
    let columns: number[] | null = null;
    for (let column = 0; column < this.count; column++) {
      if (this.state[column] !== cellState.unchanged) continue;
      columns ??= [];
      columns.push(column);
    }
    return columns ?? noColumns;
  }

  /** Whether two rows have the same text in a column. */
  sameAs(other: Cells, column: number): boolean {
    if (this.state[column] !== other.state[column]) return false;
    if (this.state[column] !== cellState.text) return true;
    return (
      this.bytes.compare(other.bytes, other.start[column], other.end[column], this.start[column], this.end[column]) ===
      0
    );
  }
}

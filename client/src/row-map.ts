/**
 * Rows of a live view by their keys. A view without a key has equal rows: there a row's key is all of it, and each further
 * one like it stands under that key with a number behind.
 */

export interface Change<Row> {
  /** `insert` is of a view without a key. */
  readonly op: "upsert" | "insert" | "delete";
  /** The key columns; without a key the whole row. */
  readonly key: Partial<Row>;
  /** Undefined for a delete by key. */
  readonly row: Row | undefined;
  /** Of a view without a key: how many rows like this one came or went. */
  readonly count?: number;
}

/** As frames have it: without a key there is no `key`. */
export type SentChange<Row> = Omit<Change<Row>, "key"> & { readonly key?: Partial<Row> };

export class RowMap<Row extends object> {
  readonly rows = new Map<string, Row>();
  #keyColumns: readonly string[] | null = [];
  /** How many rows there are of each, without a key. */
  readonly #copies = new Map<string, number>();

  keyText(key: Partial<Row>): string {
    if (this.#keyColumns === null) return JSON.stringify(key);
    return JSON.stringify(this.#keyColumns.map((column) => (key as Record<string, unknown>)[column] ?? null));
  }

  replace(rows: readonly Row[], keyColumns: readonly string[] | null): void {
    this.#keyColumns = keyColumns;
    this.rows.clear();
    this.#copies.clear();
    for (const row of rows) {
      if (keyColumns === null) this.#add(row, 1);
      else this.rows.set(this.keyText(row), row);
    }
  }

  /** The changes as they are told on. */
  apply(changes: readonly SentChange<Row>[]): Change<Row>[] {
    return changes.map((sent) => {
      const { op, row, count = 1 } = sent;
      const change = { ...sent, key: sent.key ?? row ?? {} };
      if (this.#keyColumns === null && row !== undefined) this.#add(row, op === "insert" ? count : -count);
      else if (op === "upsert" && row !== undefined) this.rows.set(this.keyText(change.key), row);
      else this.rows.delete(this.keyText(change.key));
      return change;
    });
  }

  /** What makes these rows out of none. */
  everything(): Change<Row>[] {
    const columns = this.#keyColumns;
    if (columns === null) {
      return [...this.#copies].map(([text, count]) => {
        const row = this.rows.get(text) as Row;
        return { op: "insert", key: row, row, count };
      });
    }
    return [...this.rows.values()].map((row) => {
      const values = row as Record<string, unknown>;
      const key = Object.fromEntries(columns.map((column) => [column, values[column]])) as Partial<Row>;
      return { op: "upsert", key, row };
    });
  }

  #add(row: Row, count: number): void {
    const text = this.keyText(row);
    const before = this.#copies.get(text) ?? 0;
    const after = Math.max(0, before + count);
    for (let copy = before + 1; copy <= after; copy++) this.rows.set(copyText(text, copy), row);
    for (let copy = before; copy > after; copy--) this.rows.delete(copyText(text, copy));
    if (after === 0) this.#copies.delete(text);
    else this.#copies.set(text, after);
  }
}

function copyText(text: string, copy: number): string {
  return copy === 1 ? text : `${text} ${copy}`;
}

/** One change for two of the same key, or row; undefined where they come to nothing. */
export function merged<Row>(before: Change<Row> | undefined, change: Change<Row>): Change<Row> | undefined {
  if (before?.count === undefined || change.count === undefined) return change;
  const sum = signed(before) + signed(change);
  return sum === 0 ? undefined : { ...change, op: sum > 0 ? "insert" : "delete", count: Math.abs(sum) };
}

function signed({ op, count = 0 }: Change<unknown>): number {
  return op === "insert" ? count : -count;
}

/** How far the first load is with each of its tables, of which some are read in several parts at once. */
import type { TableShape } from "../../schema/table-shape.ts";
import { type ReadStart, type TableProgress, tableProgress, wholeRows } from "./table-progress.ts";

interface LoadedTable {
  readonly table: { readonly shape: TableShape };
  readonly reason: string;
  readonly rowsEstimated: number;
  began: ReadStart | null;
  rows: number;
  partsLeft: number;
}

export class LoadProgress {
  readonly #tables: readonly LoadedTable[];

  /** `parts` are those that each table is read in, by its place among the tables. */
  constructor(
    tables: readonly { readonly shape: TableShape; readonly rowsEstimated: number }[],
    parts: readonly { readonly table: number }[],
    reason: string,
  ) {
    this.#tables = tables.map(({ shape, rowsEstimated }, i) => ({
      table: { shape },
      reason,
      rowsEstimated: wholeRows(rowsEstimated),
      began: null,
      rows: 0,
      partsLeft: parts.filter(({ table }) => table === i).length,
    }));
  }

  /** A part of the table is begun. Answers where its rows are counted. */
  begin(table: number, nowMs: number): { rows: number } {
    const loaded = this.#tables[table] as LoadedTable;
    loaded.began ??= { ms: nowMs, rows: 0 };
    return loaded;
  }

  /** A part of the table has its end. */
  end(table: number): void {
    (this.#tables[table] as LoadedTable).partsLeft--;
  }

  /** Tables that are not whole yet, those that are read before those that wait. */
  readings(nowMs: number): TableProgress[] {
    return this.#tables
      .filter(({ partsLeft }) => partsLeft > 0)
      .map((one) => tableProgress(one, nowMs))
      .sort((a, b) => Number(a.waiting) - Number(b.waiting));
  }
}

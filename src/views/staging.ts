/**
 * The changes of one mirror in one batch, netted: what is left of each row when the batch is over. Pure.
 *
 * Always true: a row appears at most once; a truncate takes everything before it, here and in the mirror; a column
 * that the source left unchanged is carried from the row's last change in the batch, else taken from the mirror.
 * Not here: how the rows get into the store (`mirror-sql.ts`).
 */
import { createHash } from "node:crypto";
import type { Change } from "../schema/envelope.ts";
import type { TableShape } from "../schema/table-shape.ts";

type Cell = string | null | undefined;
type Cells = readonly Cell[];

/** What an event says of a row. */
export type RowChange = Pick<Change, "op" | "debeziumOp" | "row" | "before" | "oldKey">;

/** How rows are told apart: by the table's key, by the whole row, or never, because rows only arrive. */
export type MirrorKind = "keyed" | "whole-row" | "append-only";

export function mirrorKind(shape: TableShape): MirrorKind {
  return shape.key !== null ? "keyed" : shape.appendOnly ? "append-only" : "whole-row";
}

interface StagedRow {
  deleted: boolean;
  /** The row as far as it is known; of a deleted one what a changed key may still carry on. */
  cells: Cell[];
  /** Key cells of the mirror's row whose values fill the undefined cells; null: the row with this row's own key. */
  from: Cell[] | null;
}

/** A row whose undefined cells are to be filled from the mirror's row with another key. */
export interface CarriedRow {
  readonly toKey: Cells;
  readonly fromKey: Cells;
  readonly columns: readonly number[];
}

export class StagedTable {
  readonly shape: TableShape;
  readonly kind: MirrorKind;
  readonly #key: readonly number[];
  readonly #numericKey: readonly boolean[];
  readonly #rows = new Map<string, StagedRow>();
  /** Without a key: inserted rows by their hidden key (the offset of the record). */
  readonly #inserted = new Map<number, { cells: Cells; hash: string | null }>();
  readonly #insertedByHash = new Map<string, number[]>();
  readonly #removed = new Map<string, number>();
  #truncated = false;
  #snapshotRowsOnly = true;
  #changes = 0;

  constructor(shape: TableShape) {
    this.shape = shape;
    this.kind = mirrorKind(shape);
    this.#key = (shape.key ?? []).map((name) => shape.columns.findIndex((column) => column.name === name));
    this.#numericKey = this.#key.map((i) => /^(numeric|real|double)/.test(shape.columns[i]?.storeType ?? ""));
  }

  /** Changes taken in, before netting. */
  get changes(): number {
    return this.#changes;
  }

  /** Rows that will be sent to the store. */
  get size(): number {
    return this.#rows.size + this.#inserted.size + this.#removed.size;
  }

  /** The mirror's own rows go before the staged ones come. */
  get truncated(): boolean {
    return this.#truncated;
  }

  /** Every change is a row of a snapshot: such rows are new to the mirror, which the snapshot's beginning emptied. */
  get snapshotRowsOnly(): boolean {
    return this.#snapshotRowsOnly;
  }

  /** Throws `SyntaxError` when the event lacks what the mirror's kind needs. */
  apply(offset: number, change: RowChange): void {
    if (change.debeziumOp !== "r") this.#snapshotRowsOnly = false;
    if (change.op === "truncate") this.#truncate();
    else if (this.kind === "keyed") this.#applyKeyed(change.op, change.row, change.oldKey);
    else if (this.kind === "append-only") this.#applyAppendOnly(offset, change.op, change.row);
    else this.#applyWholeRow(offset, change);
    this.#changes++;
  }

  #truncate(): void {
    this.#truncated = true;
    this.#rows.clear();
    this.#inserted.clear();
    this.#insertedByHash.clear();
    this.#removed.clear();
  }

  #applyKeyed(op: "upsert" | "delete", row: Cells, oldKey: Cells | null): void {
    const key = this.#keyText(row);
    const staged = this.#rows.get(key);
    if (op === "delete") {
      const known = staged && !staged.deleted ? staged : null;
      this.#rows.set(key, { deleted: true, cells: filled([...row], known?.cells ?? []), from: known?.from ?? null });
      return;
    }
    let cells = [...row];
    let from: Cell[] | null = null;
    if (oldKey !== null) {
      const old = this.#rows.get(this.#keyText(oldKey));
      if (old) cells = filled(cells, old.cells);
      from = old?.from ?? this.#key.map((i) => oldKey[i]);
    } else if (staged && !staged.deleted) {
      cells = filled(cells, staged.cells);
      from = staged.from;
    }
    this.#rows.set(key, { deleted: false, cells, from: cells.includes(undefined) ? from : null });
  }

  #applyAppendOnly(offset: number, op: "upsert" | "delete", cells: Cells): void {
    if (op === "delete") throw new SyntaxError("a delete of a table that is declared append-only");
    this.#inserted.set(offset, { cells, hash: null });
  }

  #applyWholeRow(offset: number, change: Pick<Change, "op" | "row" | "before">): void {
    if (change.op === "delete") {
      this.#remove(change.row);
      return;
    }
    const { before } = change;
    if (before !== null) this.#remove(before);
    const cells = before === null ? change.row : filled([...change.row], before);
    if (cells.includes(undefined)) throw new SyntaxError("an update of a table without a key lacks its old row");
    this.#insert(offset, cells);
  }

  #insert(offset: number, cells: Cells): void {
    const hash = rowHash(this.shape, cells);
    this.#inserted.set(offset, { cells, hash });
    const same = this.#insertedByHash.get(hash);
    if (same) same.push(offset);
    else this.#insertedByHash.set(hash, [offset]);
  }

  #remove(cells: Cells): void {
    const hash = rowHash(this.shape, cells);
    const same = this.#insertedByHash.get(hash)?.pop();
    if (same !== undefined) this.#inserted.delete(same);
    else this.#removed.set(hash, (this.#removed.get(hash) ?? 0) + 1);
  }

  /** Equal for keys that PostgreSQL finds equal: 1.0 and 1.00 are one row of the mirror. */
  #keyText(cells: Cells): string {
    let text = "";
    for (let n = 0; n < this.#key.length; n++) {
      const cell = cells[this.#key[n] as number] ?? "";
      text += `${this.#numericKey[n] ? plainNumber(cell) : cell}\u0000`;
    }
    return text;
  }

  /** Lines of `copy … from stdin` in the column order of `stageColumns` (`mirror-sql.ts`). */
  *lines(): Generator<string> {
    if (this.kind === "keyed") {
      for (const row of this.#rows.values()) yield this.#keyedLine(row);
      return;
    }
    const wholeRow = this.kind === "whole-row";
    for (const [offset, row] of this.#inserted) {
      yield `${copyCells(row.cells)}${offset}${wholeRow ? `\t${row.hash}\t\\N` : ""}\tf\t\\N\n`;
    }
    const empty = "\\N\t".repeat(this.shape.columns.length);
    for (const [hash, count] of this.#removed) yield `${empty}\\N\t${hash}\t${count}\tt\t\\N\n`;
  }

  #keyedLine(row: StagedRow): string {
    if (row.deleted) {
      let line = "";
      row.cells.forEach((cell, i) => {
        line += this.#key.includes(i) ? `${copyCell(cell)}\t` : "\\N\t";
      });
      return `${line}t\t\\N\n`;
    }
    const keep = row.from === null && row.cells.includes(undefined);
    const flags = keep ? row.cells.map((cell) => (cell === undefined ? "1" : "0")).join("") : "\\N";
    return `${copyCells(row.cells)}f\t${flags}\n`;
  }

  /** True when some line names cells to be kept from the mirror's row of the same key. */
  get keepsCells(): boolean {
    for (const row of this.#rows.values()) {
      if (!row.deleted && row.from === null && row.cells.includes(undefined)) return true;
    }
    return false;
  }

  carried(): CarriedRow[] {
    const carried: CarriedRow[] = [];
    for (const row of this.#rows.values()) {
      if (row.deleted || row.from === null) continue;
      const columns = row.cells.flatMap((cell, i) => (cell === undefined ? [i] : []));
      carried.push({ toKey: this.#key.map((i) => row.cells[i]), fromKey: row.from, columns });
    }
    return carried;
  }

  /** True when rows go that were not inserted in this batch and have no key. */
  get removesWholeRows(): boolean {
    return this.#removed.size > 0;
  }

  /** Lines for the mirror itself, when it is known that all rows are new: no flags. */
  *insertLines(): Generator<string> {
    for (const row of this.#rows.values()) yield `${copyCells(row.cells, "\n")}`;
    const wholeRow = this.kind === "whole-row";
    for (const [offset, row] of this.#inserted) {
      yield `${copyCells(row.cells)}${offset}${wholeRow ? `\t${row.hash}` : ""}\n`;
    }
  }
}

function filled(cells: Cell[], from: Cells): Cell[] {
  return cells.includes(undefined) ? cells.map((cell, i) => (cell === undefined ? from[i] : cell)) : cells;
}

/** The same number written one way: without zeros at the end of a fraction, and without the sign of zero. */
function plainNumber(text: string): string {
  if (!/^-?\d+(\.\d+)?$/.test(text)) return text;
  const plain = text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  return plain === "-0" ? "0" : plain;
}

/**
 * A whole row as 128 bits in the form of a UUID. Columns that are NULL do not count, so that a column which is added
 * later leaves the hash of the older rows as it was.
 */
export function rowHash(shape: TableShape, cells: Cells): string {
  const hash = createHash("sha256");
  shape.columns.forEach((column, i) => {
    const cell = cells[i];
    if (cell !== null && cell !== undefined) hash.update(`${column.name}\u0000${cell}\u0000`);
  });
  const hex = hash.digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}

/** With a tab after each cell, or `end` after the last one. */
function copyCells(cells: Cells, end = "\t"): string {
  let line = "";
  const last = cells.length - 1;
  for (let i = 0; i <= last; i++) line += copyCell(cells[i]) + (i === last ? end : "\t");
  return line;
}

const special = /[\\\t\n\r]/;
const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r" };

function copyCell(cell: Cell): string {
  if (cell === null || cell === undefined) return "\\N";
  return special.test(cell) ? cell.replaceAll(/[\\\t\n\r]/g, (character) => escapes[character] as string) : cell;
}

/** Into which parts the first load of the tables is cut, so that several connections can read at once. Pure. */
import { pageRange, type ReadTable, tableName, wholeTable } from "./key-chunks.ts";

/** A file of rows: a table, or a partition at the end of the tree. */
export interface Heap {
  readonly schema: string;
  readonly table: string;
  readonly pages: number;
}

export interface LoadTable {
  readonly read: ReadTable;
  /** Null when it must be read by its own name: a partition lies elsewhere. */
  readonly heaps: readonly Heap[] | null;
}

export interface CopyPart {
  /** Its place among the tables. */
  readonly table: number;
  readonly sql: string;
  readonly pages: number;
}

/** Smaller ones are not worth a query of their own. */
const pagesMin = 4_096;
/** More parts than connections, so that the last ones end at about the same time. */
const partsEach = 4;

/** The largest first. One connection reads each table in one piece. */
export function planCopies(tables: readonly LoadTable[], connections: number): CopyPart[] {
  const parts = tables.flatMap(({ read, heaps }, table): CopyPart[] => {
    if (connections === 1 || heaps === null) {
      const pages = (heaps ?? []).reduce((sum, heap) => sum + heap.pages, 0);
      return [{ table, sql: wholeTable(read), pages }];
    }
    return heaps.flatMap((heap) => partsOf(read, heap, connections).map((part) => ({ ...part, table })));
  });
  return connections === 1 ? parts : parts.sort((a, b) => b.pages - a.pages);
}

/** Ranges of pages without a gap; the last one is open, for the file may be longer than was said. */
function partsOf(read: ReadTable, heap: Heap, connections: number): Omit<CopyPart, "table">[] {
  const from = tableName({ shape: { ...read.shape, schema: heap.schema, table: heap.table }, kind: "r" });
  const step = Math.max(pagesMin, Math.ceil(heap.pages / (connections * partsEach)));
  const parts: Omit<CopyPart, "table">[] = [];
  for (let begin = 0; begin === 0 || begin < heap.pages; begin += step) {
    const last = begin + step >= heap.pages;
    const whole = begin === 0 && last;
    const sql = whole ? wholeTable(read, null, from) : pageRange(read, begin, last ? null : begin + step, from);
    parts.push({ sql, pages: Math.max(0, Math.min(step, heap.pages - begin)) });
  }
  return parts;
}

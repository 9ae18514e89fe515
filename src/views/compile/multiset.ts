/**
 * Views without a key: a row is told from others by what is in it, and from equal ones by a number. Both stand in hidden
 * columns of the state, which has each row as often as it is there: what reads rows reads them like those of any table.
 */
import { quote } from "../../catalog/definitions.ts";
import { contentColumn, copyColumn, rowsRelation } from "../compiled-view.ts";

export const [content, copy] = [quote(contentColumn), quote(copyColumn)];

/**
 * Of the row's text, so that every type has it: 1.0 and 1.00 are two rows, and NULL is no empty text. No two texts are
 * known to have the same SHA-256.
 */
export function contentHash(values: readonly string[]): string {
  return `sha256(convert_to(row(${values.join(", ")})::text, 'UTF8'))`;
}

/** The rows of a query with both hidden columns behind its own; equal rows are numbered from 1. */
export function numbered(query: string, columns: readonly string[]): string {
  const hashed = `select q.*, ${contentHash(columns.map((name) => `q.${name}`))} as ${content}\nfrom (${query}) q`;
  return `select h.*, row_number() over (partition by h.${content}) as ${copy}\nfrom (${hashed}) h`;
}

export interface MultisetTables {
  readonly view: string;
  readonly version: number;
  readonly stateTable: string;
  /** Of the public columns, quoted. */
  readonly publicNames: readonly string[];
  /** What rows are shown; all when null. */
  readonly shown: string | null;
}

/** The index that finds rows, and the relation that shows readers the hidden columns with the public ones. */
export function createMultiset({ view, version, stateTable, publicNames, shown }: MultisetTables): string[] {
  const listed = [...publicNames, content, copy].join(", ");
  return [
    `create unique index on ${stateTable} (${content}, ${copy})`,
    `create view ${rowsRelation({ name: view, version })} as select ${listed} from ${stateTable}${shown === null ? "" : ` where ${shown}`}`,
  ];
}

/**
 * A row of `COPY … TO STDOUT` in its text format: columns divided by tabs, `\N` for NULL, backslash escapes. The text of
 * each column comes out byte for byte as the stream would carry it.
 */
import { type Cells, cellState } from "../schema/cells.ts";

const tab = 0x09;
const lineFeed = 0x0a;
const backslash = 0x5c;

const escapes: Readonly<Record<number, number>> = {
  98: 0x08,
  102: 0x0c,
  110: 0x0a,
  114: 0x0d,
  116: 0x09,
  118: 0x0b,
};

/**
 * The line from `start` to `end`, with its line feed or without. It stays as it is: `cells` point into it, those of a row with
 * escapes into a copy without them. Throws `RangeError` for a row of other columns.
 */
export function readCopyRow(line: Buffer, start: number, end: number, columns: number, cells: Cells): void {
  cells.reset(line, columns);
  const rowEnd = end > start && line[end - 1] === lineFeed ? end - 1 : end;
  let at = start;
  for (let column = 0; column < columns; column++) {
    if (column > 0) at = afterTab(line, at, rowEnd, columns);
    if (isNull(line, at, rowEnd)) {
      cells.state[column] = cellState.null;
      at += 2;
      continue;
    }
    cells.state[column] = cellState.text;
    cells.start[column] = at;
    while (at < rowEnd && line[at] !== tab) {
      if (line[at++] !== backslash) continue;
      readEscapedRow(Buffer.from(line.subarray(start, rowEnd)), columns, cells);
      return;
    }
    cells.end[column] = at;
  }
  if (at !== rowEnd) throw tooMany(columns);
}

/** The same for a row of our own, over which what it stands for is written. */
function readEscapedRow(row: Buffer, columns: number, cells: Cells): void {
  cells.reset(row, columns);
  let at = 0;
  for (let column = 0; column < columns; column++) {
    if (column > 0) at = afterTab(row, at, row.length, columns);
    if (isNull(row, at, row.length)) {
      cells.state[column] = cellState.null;
      at += 2;
      continue;
    }
    cells.state[column] = cellState.text;
    cells.start[column] = at;
    let write = at;
    while (at < row.length && row[at] !== tab) {
      let code = row[at++] as number;
      if (code === backslash && at < row.length) {
        code = row[at++] as number;
        code = escapes[code] ?? code;
      }
      row[write++] = code;
    }
    cells.end[column] = write;
  }
  if (at !== row.length) throw tooMany(columns);
}

function afterTab(row: Buffer, at: number, end: number, columns: number): number {
  if (at >= end || row[at] !== tab) throw new RangeError(`a copied row has fewer than ${columns} columns`);
  return at + 1;
}

function isNull(row: Buffer, at: number, end: number): boolean {
  return row[at] === backslash && row[at + 1] === 0x4e && at + 1 < end;
}

function tooMany(columns: number): RangeError {
  return new RangeError(`a copied row has more than ${columns} columns`);
}

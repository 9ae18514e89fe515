/**
 * A row of `COPY … TO STDOUT` in its text format: columns divided by tabs, `\N` for NULL, backslash escapes. The text of
 * each column comes out byte for byte as the stream would carry it.
 */
import { type Cells, cellState } from "../schema/cells.ts";

const tab = 0x09;
const backslash = 0x5c;

const escapes: Readonly<Record<number, number>> = {
  98: 0x08,
  102: 0x0c,
  110: 0x0a,
  114: 0x0d,
  116: 0x09,
  118: 0x0b,
};

/** `line` ends with a line feed. It is written over where escapes are taken out, and `cells` points into it. */
export function readCopyRow(line: Buffer, columns: number, cells: Cells): void {
  cells.reset(line, columns);
  const end = line[line.length - 1] === 0x0a ? line.length - 1 : line.length;
  let at = 0;
  for (let column = 0; column < columns; column++) {
    if (column > 0) {
      if (line[at] !== tab) throw new RangeError(`a copied row has fewer than ${columns} columns`);
      at++;
    }
    if (line[at] === backslash && line[at + 1] === 0x4e) {
      cells.state[column] = cellState.null;
      at += 2;
      continue;
    }
    cells.state[column] = cellState.text;
    cells.start[column] = at;
    while (at < end && line[at] !== tab && line[at] !== backslash) at++;
    let write = at;
    while (at < end && line[at] !== tab) {
      let code = line[at++] as number;
      if (code === backslash) {
        code = line[at++] as number;
        code = escapes[code] ?? code;
      }
      line[write++] = code;
    }
    cells.end[column] = write;
  }
  if (at !== end) throw new RangeError(`a copied row has more than ${columns} columns`);
}

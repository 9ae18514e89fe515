/**
 * The key of a record: the key of its row as a text. One column is the text of its value, as rows have it; several are
 * percent-encoded each and have commas between, as in the address of the row. So equal keys have equal texts, and others others.
 * Pure.
 */
import { braceClose, braceOpen, colon, comma, JsonCursor, quoteCode } from "../schema/json-token.ts";

/** No text of PostgreSQL has it, so that a null is told from every text. */
const nullText = "\0";

/** Numbers of this type may be equal and have more zeros at their end. */
const exact = /^numeric\b/;

/** `row` is the JSON text of an object that has the key's columns among its members. */
export type KeyText = (row: string) => string;

export function keyTextOf(key: readonly string[], columns: readonly { name: string; type: string }[]): KeyText {
  const places = new Map(key.map((name, i) => [name, i]));
  const isExact = key.map((name) => exact.test(columns.find((column) => column.name === name)?.type ?? ""));
  return (row) => {
    const parts: string[] = new Array(key.length).fill(nullText);
    const cursor = new JsonCursor(row);
    cursor.expect(braceOpen);
    let missing = key.length;
    while (missing > 0 && cursor.peek() !== braceClose) {
      const place = places.get(cursor.string());
      cursor.expect(colon);
      if (place === undefined) cursor.skip();
      else {
        const text = valueText(cursor);
        parts[place] = isExact[place] ? withoutZeros(text) : text;
        missing--;
      }
      cursor.accept(comma);
    }
    return parts.length === 1 ? (parts[0] as string) : parts.map(encodeURIComponent).join(",");
  };
}

/** What is no text stands as it is written. */
function valueText(cursor: JsonCursor): string {
  if (cursor.peek() === quoteCode) return cursor.string();
  const start = cursor.position;
  cursor.skip();
  const text = cursor.text.slice(start, cursor.position);
  return text === "null" ? nullText : text;
}

function withoutZeros(text: string): string {
  return /^-?\d+\.\d+$/.test(text) ? text.replace(/\.?0+$/, "") : text;
}

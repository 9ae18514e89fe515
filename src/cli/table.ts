/** Rows for people: columns as wide as their widest cell, numbers to the right, the last column cut at the screen's edge. */
import { stripVTControlCharacters } from "node:util";
import type { Terminal } from "./terminal.ts";

export interface TableColumn {
  readonly title: string;
  readonly align?: "right";
}

const cellWidthMax = 60;

export function printTable(
  terminal: Terminal,
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
): void {
  for (const line of tableLines(terminal, columns, rows)) terminal.print(line);
}

function tableLines(
  terminal: Terminal,
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
): string[] {
  const cells = rows.map((row) => columns.map((_, i) => onOneLine(row[i] ?? "")));
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...cells.map((row) => widthOf(row[i] ?? ""))));
  const line = (row: readonly string[]): string => {
    const padded = row.map((cell, i) => {
      const gap = " ".repeat(Math.max(0, (widths[i] ?? 0) - widthOf(cell)));
      if (columns[i]?.align === "right") return gap + cell;
      return i === row.length - 1 ? cell : cell + gap;
    });
    return cut(padded.join("  ").trimEnd(), terminal.columns);
  };
  return [terminal.style("bold", line(columns.map(({ title }) => title))), ...cells.map(line)];
}

/** A cell is one line, and no text of a row can move the cursor or colour the screen. */
function onOneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length > cellWidthMax ? `${line.slice(0, cellWidthMax - 1)}…` : line;
}

function widthOf(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

function cut(line: string, columns: number | undefined): string {
  if (columns === undefined || widthOf(line) <= columns || line.includes("\u001b")) return line;
  return `${[...line].slice(0, columns - 1).join("")}…`;
}

/** Text from outside with control characters made visible: it may not speak to the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

const wrapWidthMin = 30;

/** Lines of whole words, for a place that begins at `indent` of a screen so wide; one line when nobody looks. */
export function wrap(text: string, columns: number | undefined, indent: number): string[] {
  if (columns === undefined) return [text];
  const width = Math.max(wrapWidthMin, columns - indent);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && widthOf(line) + 1 + widthOf(word) > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** The forms in which rows are answered, as `Accept` asks for them (RFC 9110, section 12.5.1). */
import { MillraceError } from "../base/errors.ts";

export type RowForm = "json" | "lines" | "csv" | "object";

export const rowFormTypes: Readonly<Record<RowForm, string>> = {
  json: "application/json",
  lines: "application/x-ndjson",
  csv: "text/csv; charset=utf-8",
  object: "application/vnd.pgrst.object+json",
};

/** By the media types that people send; wildcards take the first that fits. */
const byType: Readonly<Record<string, RowForm>> = {
  "*/*": "json",
  "application/*": "json",
  "application/json": "json",
  "application/vnd.pgrst.array+json": "json",
  "application/vnd.pgrst.array": "json",
  "text/*": "csv",
  "text/csv": "csv",
  "application/x-ndjson": "lines",
  "application/ndjson": "lines",
  "application/vnd.pgrst.object+json": "object",
  "application/vnd.pgrst.object": "object",
};

/** The form of the greatest weight, the first among equals. Throws `MEDIA_TYPE_UNACCEPTABLE`. */
export function acceptedForm(accept: string | undefined): RowForm {
  if (accept === undefined || accept.trim() === "") return "json";
  let best: { readonly form: RowForm; readonly weight: number } | undefined;
  for (const range of accept.toLowerCase().split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim());
    const form = Object.hasOwn(byType, type) ? byType[type] : undefined;
    // PostgREST's form without nulls is not answered here.
    if (form === undefined || parameters.includes("nulls=stripped")) continue;
    const weight = weightOf(parameters);
    if (weight > (best?.weight ?? 0)) best = { form, weight };
  }
  if (best) return best.form;
  throw new MillraceError(
    "MEDIA_TYPE_UNACCEPTABLE",
    `rows are not answered as ${JSON.stringify(accept.slice(0, 80))}`,
    {
      hint: "Accept may be application/json, application/x-ndjson, text/csv or application/vnd.pgrst.object+json.",
    },
  );
}

/** Rows as the reader answers them: JSON texts, and for csv JSON arrays of the cells. Throws `ROW_NOT_SINGLE`. */
export function rowsBody(form: RowForm, rows: readonly string[], columns: readonly string[], view: string): string {
  switch (form) {
    case "json":
      return `[${rows.join(",\n")}]\n`;
    case "lines":
      return rows.map((row) => `${row}\n`).join("");
    case "csv":
      return csvLine(columns) + rows.map((row) => csvLine(JSON.parse(row) as (string | null)[])).join("");
    case "object": {
      const [row] = rows;
      if (row !== undefined && rows.length === 1) return `${row}\n`;
      const found = row === undefined ? "no row of it matches" : "more than one row of it matches";
      throw new MillraceError("ROW_NOT_SINGLE", `one row of view "${view}" was asked for as an object, and ${found}`, {
        hint: row === undefined ? "Ask for a list to get an empty one." : "Narrow the filter, or add limit=1.",
        details: { view },
      });
    }
  }
}

/** RFC 4180; null is empty, and an empty text stands in quotes so that it differs. */
export function csvLine(cells: readonly (string | null)[]): string {
  const texts = cells.map((cell) => {
    if (cell === null) return "";
    return cell === "" || /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  });
  return `${texts.join(",")}\r\n`;
}

function weightOf(parameters: readonly string[]): number {
  const text = parameters.find((one) => /^q\s*=/.test(one))?.replace(/^q\s*=\s*/, "");
  if (text === undefined) return 1;
  return /^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(text) ? Number(text) : 0;
}

/**
 * Ranges of rows as PostgREST has them: `Range: 0-24` with the unit `items` asks for a part, `Content-Range: 0-24/573458`
 * tells which one it is, and 206 that there are more.
 */
import { MillraceError } from "../base/errors.ts";

export interface RowWindow {
  readonly offset: number;
  /** Null when nobody said one. */
  readonly limit: number | null;
}

/** What `Range` leaves of the window that the query string asks for; other units are passed over. Throws `RANGE_NOT_SATISFIABLE`. */
export function windowOf(window: RowWindow, range: string | undefined): RowWindow {
  const match = /^\s*(?:items\s*=\s*)?(\d{1,15})-(\d{0,15})\s*$/.exec(range ?? "");
  if (!match) return window;
  const first = Number(match[1]);
  const last = match[2] === "" ? Number.POSITIVE_INFINITY : Number(match[2]);
  const offset = Math.max(window.offset, first);
  const end = Math.min(window.limit === null ? Number.POSITIVE_INFINITY : window.offset + window.limit, last + 1);
  if (end <= offset) {
    throw new MillraceError("RANGE_NOT_SATISFIABLE", `the range of rows ${first}-${match[2]} has nothing in it`, {
      hint: "Write Range: first-last, both counted from 0; limit and offset narrow it.",
    });
  }
  return { offset, limit: Number.isFinite(end) ? end - offset : null };
}

export interface RangeAnswer {
  readonly status: 200 | 206;
  readonly headers: Readonly<Record<string, string>>;
}

/** `offset` is null for a page behind a cursor, whose place nobody knows. Throws `RANGE_NOT_SATISFIABLE`. */
export function rangeAnswer(offset: number | null, rows: number, total: number | undefined): RangeAnswer {
  const all = total === undefined ? "*" : String(total);
  if (offset === null || rows === 0) {
    if (offset !== null && total !== undefined && offset > total) {
      throw new MillraceError(
        "RANGE_NOT_SATISFIABLE",
        `there are ${total} rows, and ${offset} were to be passed over`,
        {
          details: { total, contentRange: `*/${total}` },
        },
      );
    }
    return { status: 200, headers: { "content-range": `*/${all}`, "range-unit": "items" } };
  }
  return {
    status: total !== undefined && rows < total ? 206 : 200,
    headers: { "content-range": `${offset}-${offset + rows - 1}/${all}`, "range-unit": "items" },
  };
}

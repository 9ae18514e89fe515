/** How far the reading of rows is, and an honest guess at the rest. Pure. */

export interface ReadProgress {
  readonly rows: number;
  /** By the source's statistics, and never fewer than were read. */
  readonly rowsEstimated: number;
  /** Since the reading began in this process; null before there is anything to go by. */
  readonly rowsPerSecond: number | null;
  /** Null while it cannot be told: no rate yet, or more rows than the statistics know of. */
  readonly remainingMs: number | null;
}

/** When reading began in this process, and what had been read by then. */
export interface ReadStart {
  readonly ms: number;
  readonly rows: number;
}

export interface TableProgress extends ReadProgress {
  /** `schema.table`. */
  readonly table: string;
  /** Why it is read. */
  readonly reason: string;
  /** It waits for others to be read first. */
  readonly waiting: boolean;
}

/** An estimate as a count: statistics that were never gathered are below 0. */
export function wholeRows(estimated: number): number {
  return Math.max(0, Math.round(estimated));
}

/** A rate over less is chance. */
const rateMsMin = 500;

export function readProgress(
  rows: number,
  rowsEstimated: number,
  began: ReadStart | null,
  nowMs: number,
): ReadProgress {
  const elapsedMs = began === null ? 0 : nowMs - began.ms;
  const read = began === null ? 0 : rows - began.rows;
  const rate = elapsedMs < rateMsMin || read <= 0 ? null : (read / elapsedMs) * 1000;
  const left = rowsEstimated - rows;
  return {
    rows,
    rowsEstimated: Math.max(rows, rowsEstimated),
    rowsPerSecond: rate === null ? null : Math.round(rate),
    remainingMs: rate === null || left <= 0 ? null : Math.round((left / rate) * 1000),
  };
}

export function tableProgress(
  reading: {
    readonly table: { readonly shape: { readonly schema: string; readonly table: string } };
    readonly reason: string;
    readonly rows: number;
    readonly rowsEstimated: number;
    readonly began: ReadStart | null;
  },
  nowMs: number,
): TableProgress {
  const { table, reason, rows, rowsEstimated, began } = reading;
  const named = `${table.shape.schema}.${table.shape.table}`;
  return { table: named, reason, waiting: began === null, ...readProgress(rows, rowsEstimated, began, nowMs) };
}

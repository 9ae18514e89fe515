/**
 * Nets change rows per batch and key: the new image wins, an old image alone is a delete, and two that show the same row are no change. Without a key they are netted per
 * batch and row, by how often it came and went. Rows must come ordered by batch, key or row, and `w`, as `change-sql.ts`
 * asks for them.
 */
import type { ChangeRow } from "./change-sql.ts";
import type { ViewChange } from "./view-info.ts";

export interface NetChange {
  readonly batch: number;
  readonly change: ViewChange;
}

interface Pending {
  readonly batch: number;
  readonly first: ChangeRow;
  last: ChangeRow;
  /** How often the row came, less how often it went. */
  count: number;
}

/** Holds back the last key or row, of which more may be in the rows to come. */
export class ChangeNet {
  #pending: Pending | undefined;

  /** The changes that are complete with these rows. */
  push(rows: readonly ChangeRow[]): NetChange[] {
    const complete: NetChange[] = [];
    for (const row of rows) {
      const batch = Number(row.batch);
      const pending = this.#pending;
      if (pending !== undefined && pending.batch === batch && isSame(pending.last, row)) {
        pending.last = row;
        pending.count += row.w;
        continue;
      }
      complete.push(...this.end());
      this.#pending = { batch, first: row, last: row, count: row.w };
    }
    return complete;
  }

  end(): NetChange[] {
    const last = this.#pending;
    this.#pending = undefined;
    const change = last && changeOf(last);
    return last && change ? [{ batch: last.batch, change }] : [];
  }
}

function isSame(one: ChangeRow, other: ChangeRow): boolean {
  return one.key === null ? one.row === other.row : one.key === other.key;
}

function changeOf({ first, last: { key, row, w }, count }: Pending): ViewChange | undefined {
  if (key !== null && first.w < 0 && w > 0 && first.row === row) return undefined;
  if (key !== null) return { op: w > 0 ? "upsert" : "delete", key, row: w > 0 ? row : null };
  if (count === 0) return undefined;
  return { op: count > 0 ? "insert" : "delete", key, row: row ?? "", count: Math.abs(count) };
}

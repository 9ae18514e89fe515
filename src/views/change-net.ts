/**
 * Nets change rows per batch and key: the new image wins, an old image alone is a delete. Rows must come ordered by
 * batch, key and `w`, as `change-sql.ts` asks for them.
 */
import type { ChangeRow } from "./change-sql.ts";
import type { ViewChange } from "./view-info.ts";

export interface NetChange extends ViewChange {
  readonly batch: number;
}

/** Holds back the last key, whose new image may be in the rows to come. */
export class ChangeNet {
  #pending: NetChange | undefined;

  /** The changes that are complete with these rows. */
  push(rows: readonly ChangeRow[]): NetChange[] {
    const complete: NetChange[] = [];
    for (const row of rows) {
      const batch = Number(row.batch);
      const pending = this.#pending;
      if (pending && (pending.batch !== batch || pending.key !== row.key)) complete.push(pending);
      this.#pending = { batch, op: row.w > 0 ? "upsert" : "delete", key: row.key, row: row.w > 0 ? row.row : null };
    }
    return complete;
  }

  end(): NetChange[] {
    const last = this.#pending;
    this.#pending = undefined;
    return last ? [last] : [];
  }
}

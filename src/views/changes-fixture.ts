/** For models of whole groups: the change rows of views against their rows. */
import assert from "node:assert/strict";
import type { Group } from "./group.ts";
import type { ViewsFixture } from "./group-fixture.ts";

/** A view's rows with the batch that they are of, and the change rows after an earlier one. */
export interface Seen {
  readonly logTable: string;
  readonly batch: number;
  readonly rows: readonly string[];
}

/** What a reader of changes would have by now must be what there is: rows of before, less the old images, plus the new ones. */
export async function assertChanges(
  fixture: ViewsFixture,
  group: Group,
  names: readonly string[],
  before: Map<string, Seen>,
): Promise<void> {
  for (const name of names) {
    const { logTable, compiled } = group.readable(name);
    const columns = compiled.publicColumns.map((column) => `"${column}"`).join(", ");
    const { batch } = group.position();
    const state = await fixture.pool.query(`select row(${columns})::text as image from views.${name}`);
    const rows: string[] = state.rows.map(({ image }) => image).sort();
    const seen = before.get(name);
    if (seen?.logTable === logTable) {
      const log = await fixture.pool.query(
        `select w, row(${columns})::text as image from ${logTable} where batch > $1 and batch <= $2 order by batch, w`,
        [seen.batch, batch],
      );
      const counts = new Map<string, number>();
      for (const image of seen.rows) counts.set(image, (counts.get(image) ?? 0) + 1);
      for (const { image, w } of log.rows) counts.set(image, (counts.get(image) ?? 0) + w);
      const replayed = [...counts].flatMap(([image, n]) => (n > 0 ? new Array<string>(n).fill(image) : [])).sort();
      assert.deepEqual(replayed, rows, `changes of ${name}`);
      assert.ok(
        [...counts.values()].every((n) => n >= 0),
        `old images of ${name}`,
      );
      if (compiled.key !== null) {
        const key = ["batch", "w", ...compiled.key.map((column) => `"${column}"`)].join(", ");
        const twice = await fixture.pool.query(`select from ${logTable} group by ${key} having count(*) > 1`);
        assert.equal(twice.rowCount, 0, `one change per row and batch of ${name}`);
      }
    }
    before.set(name, { logTable, batch, rows });
  }
}

/** Change rows, as the store answers them, made answers for those who follow a view. Pure. */
import { ChangeNet } from "./change-net.ts";
import type { ChangeRow } from "./change-sql.ts";
import type { ChangeBatch, ChangesAnswer, GroupPosition, ViewChange } from "./view-info.ts";

/** Whole batches only: the last one of an answer that was cut is left to the next answer, or is `large` when it is the only one. */
export function boundedAnswer(rows: readonly ChangeRow[], cut: boolean, current: GroupPosition): ChangesAnswer {
  const { generation } = current;
  const net = new ChangeNet();
  const byBatch = new Map<number, ViewChange[]>();
  for (const { batch, change } of [...net.push(rows), ...net.end()]) {
    const changes = byBatch.get(batch);
    if (changes) changes.push(change);
    else byBatch.set(batch, [change]);
  }
  const batches: ChangeBatch[] = [...byBatch].map(([batch, changes]) => ({ position: { generation, batch }, changes }));
  const last = rows.at(-1);
  if (!cut || !last) return { outcome: "changes", batches, upTo: current };
  // Changes of a batch may come to nothing: which one was cut its rows say.
  const batch = Number(last.batch);
  if (rows[0]?.batch === last.batch) {
    const position = { generation, batch };
    return { outcome: "changes", batches: [{ position, changes: [], large: true }], upTo: position };
  }
  const whole = batches.filter(({ position }) => position.batch < batch);
  return { outcome: "changes", batches: whole, upTo: { generation, batch: batch - 1 } };
}

/** Rows that were looked at with several filters at once, as one answer for each of them. */
export function answersOfEach(
  rows: readonly (ChangeRow & { readonly hits: string })[],
  count: number,
  current: GroupPosition,
): ChangesAnswer[] {
  const rowsOf: ChangeRow[][] = Array.from({ length: count }, () => []);
  for (const row of rows) for (const hit of row.hits.split(",")) rowsOf[Number(hit)]?.push(row);
  return rowsOf.map((own) => boundedAnswer(own, false, current));
}

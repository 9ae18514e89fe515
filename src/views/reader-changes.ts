/** Change rows, as the store answers them, made answers for those who follow a view. Pure. */
import { ChangeNet, type NetChange } from "./change-net.ts";
import type { ChangeRow } from "./change-sql.ts";
import type { ChangeBatch, ChangesAnswer, GroupPosition, ViewChange } from "./view-info.ts";

/** Whole batches only: the last one of an answer that was cut is left to the next answer, or is `large` when it is the only one. */
export function boundedAnswer(rows: readonly ChangeRow[], cut: boolean, current: GroupPosition): ChangesAnswer {
  const { generation } = current;
  const net = new ChangeNet();
  const byBatch = new Map<number, ViewChange[]>();
  for (const change of [...net.push(rows), ...net.end()]) {
    const changes = byBatch.get(change.batch);
    if (changes) changes.push(viewChange(change));
    else byBatch.set(change.batch, [viewChange(change)]);
  }
  const batches: ChangeBatch[] = [...byBatch].map(([batch, changes]) => ({ position: { generation, batch }, changes }));
  const last = batches.at(-1);
  if (!cut || !last) return { outcome: "changes", batches, upTo: current };
  if (batches.length === 1) {
    return { outcome: "changes", batches: [{ ...last, changes: [], large: true }], upTo: last.position };
  }
  const upTo = { generation, batch: last.position.batch - 1 };
  return { outcome: "changes", batches: batches.slice(0, -1), upTo };
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

export function viewChange({ op, key, row }: NetChange): ViewChange {
  return { op, key, row };
}

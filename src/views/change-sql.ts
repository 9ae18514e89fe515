/**
 * Reads of a view's change rows as SQL. The filter is evaluated on old and new rows alike: a row that leaves the filter
 * has only its old image in the answer, which is a delete to who filters (`change-net.ts`).
 */
import type { LiveView } from "./live-view.ts";
import type { Caller } from "./policy/caller.ts";
import { claimsJson, policyFor } from "./policy/policed-view.ts";
import { keyOrder, orderSql } from "./row-cursor.ts";
import { filterSql, Parameters } from "./row-filter.ts";
import { jsonObject } from "./row-json.ts";
import { shownRow } from "./row-shown.ts";
import { keyColumns, type ReadableView, type Statement } from "./row-sql.ts";
import type { Filter, Selected } from "./view-info.ts";

/**
 * As PostgreSQL answers them: `w` is −1 for an old image and 1 for a new one. Old images have their row where members are
 * selected, so that it can be compared; of a view without a key always, and `key` is null.
 */
export interface ChangeRow {
  readonly batch: string;
  readonly w: number;
  readonly key: string | null;
  readonly row: string | null;
}

export interface ChangeBounds {
  readonly after: number;
  readonly rowsMax: number;
  readonly bytesMax: number;
}

/**
 * Rows `(generation, current, oldest, batch, w, key, row)` of the batches after `after`, by batch, key (or row) and `w`; at most
 * `rowsMax` of them and not many more bytes than `bytesMax`, so that the last batch of an answer may be cut
 * (`cut` is true on rows of an answer that ends early). Without any there is one row whose `batch` is null.
 */
export function changesSql(
  view: ReadableView,
  filter: Filter | null,
  bounds: ChangeBounds,
  positionSql: string,
  select: readonly Selected[] | null = null,
): Statement {
  const parameters = new Parameters();
  const where = filterSql(view, filter, "v", parameters);
  return boundedSql(view, { parameters, from: "", where, hits: false, select }, bounds, positionSql);
}

/** What one of several keeps of the changes: what its filter and the policy let it see. */
export interface KeptChanges {
  readonly filter: Filter | null;
  readonly caller: Caller;
}

/**
 * The same for several at once: the rows that any of them keeps, each with `hits`, the numbers of those that keep
 * it with commas between. Each filter, and the policy with each caller's claims, is evaluated once on each row. `view` is with all rows.
 * Throws what `policyFor` throws.
 */
export function changesEachSql(
  view: ReadableView & Pick<LiveView, "policy">,
  kept: readonly KeptChanges[],
  bounds: ChangeBounds,
  positionSql: string,
  select: readonly Selected[] | null = null,
): Statement {
  const parameters = new Parameters();
  const hits = kept.map(({ filter, caller }, i) => {
    const shown = policyFor(view, caller);
    const condition = filterSql(view, filter, "v", parameters);
    if (shown === null || caller.kind !== "bearer") return `case when ${condition} then ${i} end`;
    const claims = `${parameters.addText(claimsJson(caller.claims, shown.claims), "policy")}::jsonb`;
    // A policy that asks for no claim leaves the parameter out, which has to have its place.
    return `case when ${claims} is not null and ${shown.sql("v", claims)} and ${condition} then ${i} end`;
  });
  // The offset keeps the planner from putting the expression in both places where it is used.
  const from = `cross join lateral (select array_to_string(array[${hits.join(", ")}], ',') as hits offset 0) as h `;
  return boundedSql(view, { parameters, from, where: "h.hits <> ''", hits: true, select }, bounds, positionSql);
}

interface Looked {
  readonly parameters: Parameters;
  readonly from: string;
  readonly where: string;
  /** `from` has them as `h.hits`. */
  readonly hits: boolean;
  readonly select: readonly Selected[] | null;
}

function boundedSql(
  view: ReadableView,
  { parameters, from, where, hits, select }: Looked,
  bounds: ChangeBounds,
  positionSql: string,
): Statement {
  const after = parameters.addNumber(bounds.after);
  const limit = parameters.addNumber(bounds.rowsMax + 1);
  const rowsMax = parameters.addNumber(bounds.rowsMax);
  const bytesMax = parameters.addNumber(bounds.bytesMax);
  const order = changeOrder(view, select, parameters);
  const text =
    `select p.generation, p.batch as current, p.oldest_batch as oldest, q.batch, q.w, q.key, q.row, q.cut${hits ? ", q.hits" : ""} ` +
    `from (${positionSql}) as p(generation, batch, oldest_batch) left join lateral (` +
    `select d.*, bool_or(d.n > ${rowsMax} or d.before >= ${bytesMax}) over () as cut from (` +
    `select c.*, sum(c.bytes) over (order by c.n rows unbounded preceding) - c.bytes as before from (` +
    `select b.*, coalesce(octet_length(b.key), 0) + coalesce(octet_length(b.row), 0) as bytes from (` +
    `select ${changeColumns(view, select, parameters)}${hits ? ", h.hits" : ""}, row_number() over (${order}) as n from ${view.logTable} as v ${from}` +
    `where v.batch > ${after} and v.batch <= p.batch and ${where} ${order} limit ${limit}) as b) as c) as d` +
    `) as q on q.n <= ${rowsMax} and q.before < ${bytesMax} order by q.n`;
  return { text, parameters };
}

/** All change rows `(batch, w, key, row)` of one batch in the same order, for a cursor. */
export function changesOfSql(
  view: ReadableView,
  filter: Filter | null,
  batch: number,
  select: readonly Selected[] | null = null,
): Statement {
  const parameters = new Parameters();
  const where = filterSql(view, filter, "v", parameters);
  const one = parameters.addNumber(batch);
  const text =
    `select ${changeColumns(view, select, parameters)} from ${view.logTable} as v ` +
    `where v.batch = ${one} and ${where} ${changeOrder(view, select, parameters)}`;
  return { text, parameters };
}

function changeColumns(view: ReadableView, select: readonly Selected[] | null, parameters: Parameters): string {
  const row = shownRow(view, select, "v", parameters);
  if (view.key === null) return `v.batch, v.w, null::text as key, ${row} as row`;
  const told = select === null ? `case when v.w > 0 then ${row} end` : row;
  return `v.batch, v.w, ${jsonObject(keyColumns(view), "v")} as key, ${told} as row`;
}

/** The same for everybody who reads a batch, so that its frames can be counted. */
function changeOrder(view: ReadableView, select: readonly Selected[] | null, parameters: Parameters): string {
  if (view.key === null) return `order by v.batch, ${shownRow(view, select, "v", parameters)} collate "C", v.w`;
  const key = orderSql(keyOrder(view), "v", parameters).replace(/^order by /, "");
  return `order by v.batch${key === "" ? "" : `, ${key}`}, v.w`;
}

/**
 * What a key that is computed from a time says of that time: the rows of one window are near it. The query for some keys
 * then reads a range of the table by an index, where it would compute the key of every row to find theirs.
 */

import { quote } from "../../../catalog/definitions.ts";
import type { CompiledView, MirrorBinding } from "../../compiled-view.ts";
import { type Bound, columnsBeneath, functionsOf, plainColumn, print, type RowsFunction } from "../bound.ts";
import { type Drift, driftOf } from "../drift.ts";
import { bindTable, placeOf } from "../from.ts";
import type { ScopeColumn, ScopeTable } from "../scope.ts";
import { SourceText } from "../source-text.ts";
import { unknownType } from "../sql-type.ts";
import { mirrorTable } from "../tables.ts";
import type { Replacements } from "./gathered.ts";
import type { TracedBinding, TracedQuery } from "./traced.ts";

export interface NearRows {
  readonly replacements: Replacements;
  readonly index: CompiledView["mirrorIndexes"][number];
}

/** Null where no column of the key is near one of a table that is named once. `deltaTable` has the keys. */
export function nearRows(
  query: TracedQuery,
  positions: readonly number[],
  binding: TracedBinding,
  deltaTable: string,
): NearRows | null {
  for (const position of positions) {
    const near = nearOf(query, position, binding);
    if (near === null) continue;
    const { mirror, drift } = near;
    const table = mirrorTable(mirror);
    const named = [...binding.replacements].filter(([, { text }]) => text.includes(table));
    const [place] = named;
    if (place === undefined || named.length > 1 || !place[1].text.startsWith(table)) continue;
    const key = quote(query.names[position] ?? "");
    const column = quote(drift.column);
    // Without keys there are no rows; near the ends of what timestamps hold none would be before or behind.
    const first = `case when min(${key}) is null then 'infinity' when min(${key}) > '4000-01-01 BC' then min(${key}) - ${drift.most} else '-infinity' end`;
    const last = `case when max(${key}) < '200000-01-01' then max(${key}) - ${drift.least} else 'infinity' end`;
    const rows = `(select * from ${table} where ${column} >= (select ${first} from ${deltaTable}) and ${column} <= (select ${last} from ${deltaTable}))`;
    const [at, { end, text }] = place;
    return {
      replacements: new Map([[at, { end, text: `${rows}${text.slice(table.length)}` }]]),
      index: { mirrorId: mirror.id, columns: [drift.column] },
    };
  }
  return null;
}

/** The table whose column of time it is computed from, in every alternative alike. */
function nearOf(
  { alternatives }: TracedQuery,
  position: number,
  { source, mirrors }: TracedBinding,
): { readonly mirror: MirrorBinding; readonly drift: Drift } | null {
  const texts = alternatives
    .filter(({ drivers }) => drivers.length > 0)
    .map(({ outputs, occurrences }) => {
      const bound = outputs[position];
      const columns = bound === undefined ? [] : columnsBeneath(bound);
      const [first] = columns;
      const one = columns.every(({ occurrence }) => occurrence === first?.occurrence);
      if (bound === undefined || first === undefined || !one || plainColumn(bound) !== null) return null;
      // A name of WITH can stand for it twice.
      if (occurrences.filter(({ mirror }) => mirror === first.occurrence.mirror).length > 1) return null;
      const functions = [...new Set(functionsOf(bound).map(({ of }) => of))];
      const sql = print(bound, (hole) => {
        if (hole.kind === "function") return `${aliasOf(functions.indexOf(hole.of))}.${hole.column}`;
        return hole.kind === "column" ? quote(hole.column) : "";
      });
      return { id: first.occurrence.mirror.id, sql, functions };
    });
  const [text] = texts;
  const mirror = mirrors.find(({ id }) => id === text?.id);
  if (text === null || text === undefined || mirror === undefined) return null;
  if (texts.some((one) => one?.id !== text.id || one.sql !== text.sql)) return null;
  if (texts.some((one) => one?.functions.some((of, i) => !sameCall(of, text.functions[i])))) return null;
  const drift = driftOfText(text.sql, mirror, text.functions, source.view);
  return drift && { mirror, drift };
}

function aliasOf(i: number): string {
  return `millrace_f${i}`;
}

/** Whether what they yield lies within the same bounds. */
function sameCall(a: RowsFunction, b: RowsFunction | undefined): boolean {
  return b !== undefined && JSON.stringify(a.reach) === JSON.stringify(b.reach);
}

/** Of an expression over the columns of a table, and of what functions make of them. */
function driftOfText(
  sql: string,
  mirror: MirrorBinding,
  functions: readonly RowsFunction[],
  view: string,
): Drift | null {
  const { kept, shape } = mirror;
  const table = kept === undefined ? mirrorTable(mirror) : `${quote(shape.source)}.${quote(shape.table)}`;
  const source = new SourceText(view, `select ${sql} from ${table}`);
  const [from, target] = [source.statement.fromClause?.[0], source.statement.targetList?.[0]];
  if (from === undefined || !("RangeVar" in from) || target === undefined || !("ResTarget" in target)) return null;
  const binding = { source, mirrors: [mirror], replacements: new Map() };
  const { scope } = bindTable(from.RangeVar, binding);
  const tables = [...scope.tables, ...functions.map(tableOf)];
  const place = placeOf(binding, { ...scope, tables });
  return target.ResTarget.val === undefined ? null : driftOf(target.ResTarget.val, place);
}

/** Its columns as they are called where what is computed from them is printed. */
function tableOf(of: RowsFunction, i: number): ScopeTable {
  const columns = of.columns.map((_, c): ScopeColumn => {
    const column = `c${c}`;
    const bound: Bound = {
      parts: [{ kind: "function", of, column }],
      key: "",
      type: of.types[c] ?? unknownType,
      notNull: false,
    };
    return { name: column, qualifier: aliasOf(i), bound };
  });
  return { alias: aliasOf(i), path: [], columns, label: aliasOf(i), occurrence: null };
}

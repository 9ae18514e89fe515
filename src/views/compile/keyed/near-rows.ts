/**
 * What a key that is computed from a time says of that time: the rows of one window are near it. The query for some keys
 * then reads a range of the table by an index, where it would compute the key of every row to find theirs.
 */

import { quote } from "../../../catalog/definitions.ts";
import type { CompiledView, MirrorBinding } from "../../compiled-view.ts";
import { columnsOf, plainColumn, print } from "../bound.ts";
import { type Drift, driftOf } from "../drift.ts";
import { bindTable, placeOf } from "../from.ts";
import { SourceText } from "../source-text.ts";
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
      const [first] = bound === undefined ? [] : columnsOf(bound);
      const plain = bound?.parts.every(
        (part) => typeof part === "string" || (part.kind === "column" && part.occurrence === first?.occurrence),
      );
      if (bound === undefined || first === undefined || plain !== true || plainColumn(bound) !== null) return null;
      // A name of WITH can stand for it twice.
      if (occurrences.filter(({ mirror }) => mirror === first.occurrence.mirror).length > 1) return null;
      const sql = print(bound, (hole) => (hole.kind === "column" ? quote(hole.column) : ""));
      return { id: first.occurrence.mirror.id, sql };
    });
  const [text] = texts;
  const mirror = mirrors.find(({ id }) => id === text?.id);
  if (text === null || text === undefined || mirror === undefined) return null;
  if (texts.some((one) => one?.id !== text.id || one.sql !== text.sql)) return null;
  const drift = driftOfText(text.sql, mirror, source.view);
  return drift && { mirror, drift };
}

/** Of an expression over the columns of a table. */
function driftOfText(sql: string, mirror: MirrorBinding, view: string): Drift | null {
  const source = new SourceText(view, `select ${sql} from ${mirrorTable(mirror)}`);
  const [from, target] = [source.statement.fromClause?.[0], source.statement.targetList?.[0]];
  if (from === undefined || !("RangeVar" in from) || target === undefined || !("ResTarget" in target)) return null;
  const binding = { source, mirrors: [mirror], replacements: new Map() };
  const { scope } = bindTable(from.RangeVar, binding);
  return target.ResTarget.val === undefined ? null : driftOf(target.ResTarget.val, placeOf(binding, scope));
}

/**
 * A query over a join, taken apart: the joined and filtered rows, with the columns that are read of them, are its subquery.
 * `select m.top, count(*) from (…) m join c on … group by m.top` is `select j.top, count(*) from (select m.top from (…) m
 * join c on …) j group by j.top`.
 */
import type { ColumnRef, SelectStmt } from "@pgsql/types";
import { quote } from "../../../catalog/definitions.ts";
import type { BlockText } from "../block-text.ts";
import { nameOf } from "../expression.ts";
import { walk } from "../inlining.ts";
import { holdsAggregate } from "../keyed/functions.ts";
import type { SourceText } from "../source-text.ts";

export interface JoinSplit {
  /** A SELECT of the joined rows. */
  readonly text: string;
  /** The rest, with this item of FROM in the place of the join. */
  readonly outer: (item: string) => string;
}

const joined = quote("_millrace_joined");

/** Null where it makes no groups, where it reads all columns, and where two columns of one name are read. */
export function splitJoin(source: SourceText, block: BlockText): JoinSplit | null {
  const { statement } = source;
  const end = (block.filters.at(-1) ?? block.tables.at(-1))?.end;
  const read = gathers(statement) ? columnsRead(statement) : null;
  if (read === null || end === undefined) return null;
  const textOf = ({ location, fields }: Read) =>
    source.rewritten(new Map(), { start: location, end: source.endOfName(location, fields.length) });
  const columns = new Map(read.map((one) => [nameOfRead(one), one]));
  const listed = [...columns].map(([name, one]) => `${textOf(one)} as ${quote(name)}`);
  const from = source.rewritten(new Map(), { start: block.from.start, end });
  const pieces = read.map((one) => {
    const text = `${joined}.${quote(nameOfRead(one))}`;
    return [one.location, { end: source.endOfName(one.location, one.fields.length), text }] as const;
  });
  return {
    text: `select ${listed.join(", ")} ${from}`,
    outer: (item) => {
      const replaced = [block.from.start, { end, text: `from ${item} as ${joined}` }] as const;
      return source.rewritten(new Map([...pieces, replaced]), { start: block.select.start, end: block.last.end });
    },
  };
}

function gathers({ targetList, groupClause, havingClause, distinctClause }: SelectStmt): boolean {
  const clauses = [groupClause, havingClause, distinctClause];
  return clauses.some((one) => one !== undefined) || holdsAggregate(targetList);
}

interface Read {
  readonly location: number;
  readonly fields: readonly string[];
}

function nameOfRead({ fields }: Read): string {
  return fields.at(-1) ?? "";
}

/** The columns that are named outside of FROM, WHERE and WITH; null where they cannot be told apart by their own names. */
function columnsRead({ fromClause: _f, whereClause: _w, withClause: _c, ...rest }: SelectStmt): Read[] | null {
  const shown = shownNames(rest);
  const read: Read[] = [];
  let isPlain = true;
  const look = (root: unknown, mayNameShown: boolean) =>
    walk(root, (node) => {
      if ("A_Star" in node) isPlain = false;
      if (!("ColumnRef" in node)) return;
      const { fields = [], location } = node.ColumnRef as ColumnRef;
      const names = fields.map(nameOf);
      // It names a column of the result, or one of that name which is read there.
      if (mayNameShown && names.length === 1 && shown.has(names[0] ?? "")) return;
      if (location === undefined || names.length === 0) isPlain = false;
      else read.push({ location, fields: names });
    });
  const { groupClause, sortClause, distinctClause, ...others } = rest;
  look([groupClause, sortClause, distinctClause], true);
  look(others, false);
  const texts = new Map<string, string>();
  for (const one of read) {
    const name = nameOfRead(one);
    const text = one.fields.map(quote).join(".");
    if ((texts.get(name) ?? text) !== text) return null;
    texts.set(name, text);
  }
  return isPlain && read.length > 0 ? read : null;
}

function shownNames({ targetList = [] }: Pick<SelectStmt, "targetList">): ReadonlySet<string> {
  return new Set(
    targetList.flatMap((target) => {
      if (!("ResTarget" in target)) return [];
      const { name, val } = target.ResTarget;
      if (name !== undefined) return [name];
      return val !== undefined && "ColumnRef" in val ? (val.ColumnRef.fields ?? []).slice(-1).map(nameOf) : [];
    }),
  );
}

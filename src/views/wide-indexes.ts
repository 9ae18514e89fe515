/**
 * Indexes over values of any length. An entry of a b-tree has at most some 2,700 bytes, and a text may have megabytes: the
 * first row whose value does not fit makes the index one of another kind, which finds the same rows for `=`. What it
 * cannot do any more is to give rows in order. Pure but for `widenIndexes`.
 *
 * Always true: what was unique stays unique, and what was found by `=` through an index still is.
 */
import type { Diagnostics } from "../base/diagnostics.ts";
import { quote } from "../catalog/definitions.ts";
import type { Applier } from "./applier.ts";
import { PipelineError } from "./applier-pipeline.ts";

/** What an index has at one of its places. */
export interface IndexPart {
  /** The column, quoted, or an expression as it stands in an index. */
  readonly sql: string;
  readonly kind: "bounded" | "text" | "row" | "other";
}

/** A b-tree that is not the one of a primary key. */
export interface NarrowIndex {
  readonly schema: string;
  readonly name: string;
  readonly isUnique: boolean;
  readonly nullsNotDistinct: boolean;
  readonly parts: readonly IndexPart[];
}

const partKind =
  "case when a.attlen > 0 then 'bounded' when t.typtype = 'c' then 'row' " +
  "when t.typname in ('text', 'varchar') and coalesce(l.collisdeterministic, true) then 'text' else 'other' end";
const typeOfPart = "join pg_type t on t.oid = a.atttypid left join pg_collation l on l.oid = a.attcollation";

/** B-trees of a table that have a part without a bound. */
export const listNarrow =
  'select n.nspname as schema, c.relname as name, i.indisunique as "isUnique", i.indnullsnotdistinct as "nullsNotDistinct", ' +
  `(select json_agg(json_build_object('sql', p.sql, 'kind', p.kind) order by p.attnum) from (` +
  `select a.attnum, pg_get_indexdef(c.oid, a.attnum, false) as sql, ${partKind} as kind from pg_attribute a ${typeOfPart} where a.attrelid = c.oid) p) as parts ` +
  "from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace join pg_am m on m.oid = c.relam " +
  "where i.indrelid = to_regclass($1) and m.amname = 'btree' and i.indisvalid and not i.indisprimary and i.indpred is null " +
  "and exists (select from pg_attribute a where a.attrelid = c.oid and a.attlen < 0) order by c.relname";

/** The columns of a table as parts of an index, by name. */
export const listParts =
  `select a.attname as name, quote_ident(a.attname) as sql, ${partKind} as kind from pg_attribute a ${typeOfPart} ` +
  "where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped";

/** Statements that put indexes for any length in the place of this one. `table` is quoted and qualified. */
export function widen(table: string, index: NarrowIndex): string[] {
  const old = `${quote(index.schema)}.${quote(index.name)}`;
  const narrow = `${index.name.slice(0, 40)}_narrow`;
  const isUnique = index.isUnique || index.parts[0]?.kind === "row";
  const make = isUnique ? uniqueInstead(table, index) : [createWide(table, index.parts, quote(index.name))];
  return [
    `alter index ${old} rename to ${quote(narrow)}`,
    ...make,
    // Last: until here nobody who reads has to wait.
    `drop index ${quote(index.schema)}.${quote(narrow)}`,
  ];
}

/** What an index over these columns is as long as every value fits. */
export function createNarrow(table: string, name: string, columns: readonly string[]): string {
  return `create index concurrently ${quote(name)} on ${table} (${columns.map(quote).join(", ")})`;
}

/** With or without a name; `concurrently` may stand before it. */
export function createWide(table: string, parts: readonly IndexPart[], name = ""): string {
  return `create index ${name} on ${table} ${wideOver(parts)}`;
}

/** As many parts as a b-tree can have; of the first alone where that has no bound. */
function wideOver(parts: readonly IndexPart[]): string {
  const [first] = parts;
  const end = parts.findIndex(({ kind }) => kind !== "bounded");
  const bounded = end < 0 ? parts : parts.slice(0, end);
  if (bounded.length > 0) return `(${bounded.map(({ sql }) => sql).join(", ")})`;
  // Equal values share a chain of a hash index, which is searched for room by each insertion; texts have a tree.
  return `using ${first?.kind === "text" ? "spgist" : "hash"} (${first?.sql})`;
}

/** Of an index over the key of a state. */
function uniqueInstead(table: string, { nullsNotDistinct, parts }: NarrowIndex): string[] {
  // The value of a row type, which has an index of its own, has these columns with their NULLs.
  if (nullsNotDistinct) return [];
  const [first, ...others] = parts;
  if (first !== undefined && others.length === 0) return [exclude(table, first.sql)];
  const columns = parts.map(({ sql }) => sql).join(", ");
  const keyTable = `${table.slice(0, -1)}_key"`;
  const bounded = parts.filter(({ kind }) => kind === "bounded").map(({ sql }) => sql);
  return [
    `create table ${keyTable} as select ${columns} from ${table} with no data`,
    exclude(table, `(row(${columns})::${keyTable})`),
    ...parts.filter(({ kind }) => kind !== "bounded").map((part) => createWide(table, [part])),
    ...(bounded.length === 0 ? [] : [`create index on ${table} (${bounded.join(", ")})`]),
  ];
}

/** Unique, and found by `=`, whatever its length. */
function exclude(table: string, sql: string): string {
  return `alter table ${table} add exclude using hash (${sql} with =)`;
}

/** What a row was too long for, as far as the server tells. */
export interface TooLong {
  /** Quoted and qualified. */
  readonly table: string | null;
  readonly index: string | null;
}

/** Null when it was not an index. */
export function tooLongOf(error: unknown): TooLong | null {
  const { code, schema, table, constraint, routine } = (error instanceof PipelineError ? error.cause : error) as Told;
  if (code !== "54000") return null;
  if (schema !== undefined && table !== undefined) {
    return { table: `${quote(schema)}.${quote(table)}`, index: constraint ?? null };
  }
  // One that fits no page fails before it is known where it is to go.
  return routine?.startsWith("index_form_tuple") ? { table: null, index: null } : null;
}

type Told = { readonly [field in "code" | "schema" | "table" | "constraint" | "routine"]?: string };

/** False when there is nothing to widen: then it was too long for something else. Throws what the store says. */
export async function widenIndexes(
  applier: Pick<Applier, "query" | "transact">,
  table: string,
  index: string | null,
  owner: string,
  diagnostics: Diagnostics,
): Promise<boolean> {
  const found = (await applier.query(listNarrow, [table])) as unknown as NarrowIndex[];
  const narrow = found.filter((one) => index === null || one.name === index);
  if (narrow.length === 0) return false;
  const indexes = narrow.map(({ name }) => name);
  diagnostics.warn("a value is too long for an index, which is made one for any length", { table, indexes });
  const statements = narrow.flatMap((one) => widen(table, one)).map((sql) => ({ sql, owner, fresh: true }));
  await applier.transact(statements, {}, ["set local lock_timeout = '5s'"]);
  return true;
}

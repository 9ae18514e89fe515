/**
 * What a source's own catalogue says about the tables that are captured. Read inside the transaction of the snapshot it
 * belongs to the rows exactly; read at another time it may be ahead of the stream.
 */
import type { Client } from "pg";
import type { TableDefinition } from "../catalog/definitions.ts";
import { type PostgresType, printStoreType, type StoreType, storeTypeOf } from "../schema/postgres-types.ts";
import type { ColumnShape, TableShape } from "../schema/table-shape.ts";
import type { ColumnType } from "./captured-table.ts";
import type { Relation, RelationColumn } from "./pgoutput.ts";

export interface CatalogueColumn extends RelationColumn {
  readonly shape: ColumnShape;
  readonly generated: boolean;
  /** Rows that were there before it have a value in it, of which the stream tells nothing. */
  readonly filledByDefault: boolean;
  readonly primaryKey: boolean;
}

export interface CatalogueTable {
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  /** `pg_class.relkind`: r table, p partitioned, v view, m materialized view, f foreign table, … */
  readonly kind: string;
  readonly persistence: "permanent" | "unlogged" | "temporary";
  readonly identity: "default" | "nothing" | "full" | "index";
  readonly columns: readonly CatalogueColumn[];
  readonly rowsEstimated: number;
  readonly readable: boolean;
  /** The role may put it into a publication: it owns the table, or is a member of its owner. */
  readonly publishable: boolean;
  readonly owner: string;
  /** It has a primary key that is none to the server's stream, as it is not checked at once. */
  readonly deferrableKey: boolean;
  /** Of the key's index, by column: its collation, quoted, where it is not the column's own. */
  readonly keyCollations: Readonly<Record<string, string>>;
}

interface TableRow {
  oid: number;
  schema: string;
  name: string;
  kind: string;
  persistence: string;
  identity: string;
  rows: number;
  readable: boolean;
  publishable: boolean;
  owner: string;
  deferrable_key: boolean;
}

interface ColumnRow {
  relation: number;
  name: string;
  type: number;
  modifier: number;
  printed: string;
  not_null: boolean;
  generated: boolean;
  filled: boolean;
  primary_key: boolean;
  identity: boolean;
  coll: string | null;
}

/** Tables that do not exist are left out. */
export async function readCatalogue(
  client: Client,
  tables: readonly Pick<TableDefinition, "schema" | "table">[],
  looks = 3,
): Promise<CatalogueTable[]> {
  // Privileges are those of now, and null of a table that this snapshot has and that was dropped since: it tells of that later.
  const found = await client.query<TableRow>(
    `select c.oid::int8::float8 as oid, n.nspname as schema, c.relname as name, c.relkind as kind,
            c.relpersistence as persistence, c.relreplident as identity,
            greatest(case when c.relkind = 'p' then
              (select sum(greatest(l.reltuples, 0)) from pg_partition_tree(c.oid) t join pg_class l on l.oid = t.relid where t.isleaf)
              else c.reltuples end, 0)::float8 as rows,
            has_schema_privilege(n.oid, 'usage') and coalesce(has_table_privilege(c.oid, 'select'), true) as readable,
            pg_has_role(c.relowner, 'usage') as publishable, pg_get_userbyid(c.relowner) as owner,
            exists (select from pg_index x where x.indrelid = c.oid and x.indisprimary and not x.indimmediate) as deferrable_key
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       join unnest($1::text[], $2::text[]) as w (s, t) on n.nspname = w.s and c.relname = w.t`,
    [tables.map(({ schema }) => schema), tables.map(({ table }) => table)],
  );
  if (found.rows.length === 0) return [];
  const columns = await client.query<ColumnRow>(
    `select a.attrelid::int8::float8 as relation, a.attname as name, a.atttypid::int8::float8 as type,
            a.atttypmod as modifier, format_type(a.atttypid, a.atttypmod) as printed, a.attnotnull as not_null,
            a.attgenerated <> '' as generated, (a.atthasmissing or a.atthasdef or a.attidentity <> '' or exists (
              with recursive d (oid) as (
                select a.atttypid union select t.typbasetype from d join pg_type t on t.oid = d.oid and t.typtype = 'd')
              select from d join pg_type t on t.oid = d.oid and t.typtype = 'd' and t.typdefault is not null)) as filled,
            coalesce(a.attnum = any (p.indkey::int2[]), false) as primary_key,
            case c.relreplident when 'd' then coalesce(a.attnum = any (p.indkey::int2[]), false)
              when 'i' then coalesce(a.attnum = any (i.indkey::int2[]), false) when 'f' then true else false end as identity,
            case when o.oid <> a.attcollation then quote_ident(on_.nspname) || '.' || quote_ident(o.collname) end as coll
       from pg_attribute a join pg_class c on c.oid = a.attrelid
       left join pg_index p on p.indrelid = c.oid and p.indisprimary and p.indimmediate
       left join pg_index i on i.indrelid = c.oid and i.indisreplident
       left join lateral (
         select k.coll from pg_index x, unnest(x.indkey::int2[], x.indcollation::oid[]) as k (attnum, coll)
          where x.indexrelid = case when c.relreplident = 'i' then i.indexrelid else p.indexrelid end and k.attnum = a.attnum
       ) k on true
       left join pg_collation o on o.oid = k.coll left join pg_namespace on_ on on_.oid = o.collnamespace
      where a.attrelid = any ($1::oid[]) and a.attnum > 0 and not a.attisdropped
      order by a.attrelid, a.attnum`,
    [found.rows.map(({ oid }) => oid)],
  );
  // Between the two looks a table may have been made anew: what is left of it has no columns, and no key.
  const gone = found.rows.some(({ oid }) => columns.rows.every(({ relation }) => relation !== oid));
  if (gone && looks > 1) return readCatalogue(client, tables, looks - 1);
  const shapes = await columnShapes(
    client,
    columns.rows.map((row) => ({ ...row, nullable: !row.not_null })),
  );
  return found.rows.map((row) => ({
    oid: row.oid,
    schema: row.schema,
    table: row.name,
    kind: row.kind,
    persistence: row.persistence === "p" ? "permanent" : row.persistence === "u" ? "unlogged" : "temporary",
    identity:
      row.identity === "f" ? "full" : row.identity === "n" ? "nothing" : row.identity === "i" ? "index" : "default",
    rowsEstimated: row.rows,
    readable: row.readable,
    publishable: row.publishable,
    owner: row.owner,
    deferrableKey: row.deferrable_key,
    keyCollations: Object.fromEntries(
      columns.rows.flatMap(({ relation, name, coll }) => (relation === row.oid && coll !== null ? [[name, coll]] : [])),
    ),
    columns: columns.rows.flatMap((column, i) =>
      column.relation === row.oid
        ? {
            name: column.name,
            typeOid: column.type,
            typeModifier: column.modifier,
            identity: column.identity,
            generated: column.generated,
            filledByDefault: column.filled,
            primaryKey: column.primary_key,
            shape: shapes[i] as ColumnShape,
          }
        : [],
    ),
  }));
}

/** Shapes of columns by their types alone. */
export async function columnShapes(
  client: Client,
  columns: readonly { name: string; type: number; modifier: number; nullable: boolean }[],
): Promise<ColumnShape[]> {
  const types = await readTypes(client, [...new Set(columns.map(({ type }) => type))]);
  const storeTypes = columns.map(({ type, modifier }) => storeTypeOf(type, modifier, types));
  const { rows } = await client.query<{ source: string | null; store: string | null }>(
    `select format_type(t, m) as source, format_type(st, sm) as store
       from unnest($1::oid[], $2::int4[], $3::oid[], $4::int4[]) with ordinality as w (t, m, st, sm, place) order by place`,
    [
      columns.map(({ type }) => type),
      columns.map(({ modifier }) => modifier),
      storeTypes.map(({ print }) => print?.oid ?? null),
      storeTypes.map(({ print }) => print?.modifier ?? null),
    ],
  );
  return columns.map(({ name, nullable }, i) => {
    const type = storeTypes[i] as StoreType;
    return {
      name,
      sourceType: rows[i]?.source ?? "unknown",
      storeType: printStoreType(type, rows[i]?.store ?? "text"),
      nullable: nullable && !type.notNull,
      carriedAsText: type.carriedAsText,
    };
  });
}

/**
 * A table with the columns that the stream says were added to it, from place `from` on. Answers why not, when rows that
 * were there before have a value in one of them. A column that is gone again by now is described by its type alone.
 */
export async function describeAddedColumns(
  client: Client,
  table: { readonly oid: number; readonly shape: TableShape },
  relation: Relation,
  from: number,
): Promise<{ readonly shape: TableShape; readonly types: readonly ColumnType[] } | string> {
  const { shape } = table;
  const added = relation.columns.slice(from);
  const now = await readCatalogue(client, [shape]);
  const columns = now.find(({ oid }) => oid === table.oid)?.columns ?? [];
  const current = (name: string) => columns.find((column) => column.name === name);
  for (const { name } of added) {
    if (current(name)?.filledByDefault) {
      return `table "${shape.schema}.${shape.table}": column "${name}" was added with a default`;
    }
  }
  const shapes = await columnShapes(
    client,
    added.map(({ name, typeOid, typeModifier }) => ({
      name,
      type: typeOid,
      modifier: typeModifier,
      nullable: current(name)?.shape.nullable ?? true,
    })),
  );
  return {
    shape: { ...shape, columns: [...shape.columns, ...shapes] },
    types: relation.columns.map(({ typeOid, typeModifier }) => ({ oid: typeOid, modifier: typeModifier })),
  };
}

/** The types and everything that they are made of. */
async function readTypes(client: Client, oids: readonly number[]): Promise<Map<number, PostgresType>> {
  const { rows } = await client.query<{
    oid: number;
    schema: string;
    name: string;
    type: string;
    element: number;
    base: number;
    modifier: number;
    not_null: boolean;
  }>(
    `with recursive reached (oid) as (
       select unnest($1::oid[])
       union
       select r.oid from reached q join pg_type t on t.oid = q.oid
         cross join lateral (values (t.typelem), (t.typbasetype)) as r (oid) where r.oid <> 0
     )
     select t.oid::int8::float8 as oid, n.nspname as schema, t.typname as name, t.typtype as type,
            case when t.typcategory = 'A' and t.typlen = -1 and t.typelem <> 0 and e.typarray = t.oid and t.typdelim = ','
              then t.typelem::int8::float8 else 0 end as element,
            t.typbasetype::int8::float8 as base, t.typtypmod as modifier, t.typnotnull as not_null
       from reached join pg_type t using (oid) join pg_namespace n on n.oid = t.typnamespace
       left join pg_type e on e.oid = t.typelem`,
    [oids],
  );
  return new Map(
    rows.map((row) => [
      row.oid,
      {
        oid: row.oid,
        schema: row.schema,
        name: row.name,
        type: typeKinds[row.type] ?? "base",
        element: row.element,
        base: row.base,
        baseModifier: row.modifier,
        notNull: row.not_null,
      },
    ]),
  );
}

const typeKinds: Readonly<Record<string, PostgresType["type"]>> = {
  b: "base",
  c: "composite",
  d: "domain",
  e: "enum",
  p: "pseudo",
  r: "range",
  m: "multirange",
};

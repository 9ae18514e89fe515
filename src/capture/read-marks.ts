/** Reads tables' marks (`table-marks.ts`) from a source's catalogue, all of one moment. */
import type { Client } from "pg";
import type { TableShape } from "../schema/table-shape.ts";
import { type Label, labelsMark, type MarksNow, type PartitionMark, type TableMarks } from "./table-marks.ts";

interface MarkRow {
  readonly oid: number;
  readonly files: string;
  readonly columns: string | null;
  readonly numbers: Readonly<Record<string, number>> | null;
  readonly last: number;
  readonly dropped: number;
  readonly composites: string | null;
  readonly labels: readonly Label[] | null;
  readonly published: string | null;
  readonly partitions: Readonly<Record<string, PartitionMark>> | null;
  readonly filled: readonly string[] | null;
}

/**
 * By the tables' numbers; tables that are gone are left out. `publications` are the names of those that are ours. Which
 * partitions hold rows is asked of those only that are not known by then.
 */
export async function readMarks(
  client: Client,
  tables: readonly { readonly oid: number; readonly shape: TableShape }[],
  publications: readonly string[],
  knownOf: (topic: string) => Pick<TableMarks, "partitions"> | null,
): Promise<Map<number, MarksNow>> {
  const known = tables.flatMap(({ shape }) => Object.keys(knownOf(shape.topic)?.partitions ?? {}));
  const { rows } = await client.query<MarkRow>(marksSql, [tables.map(({ oid }) => oid), publications, known]);
  const marks = new Map<number, MarksNow>();
  for (const { oid, shape } of tables) {
    const row = rows.find((one) => one.oid === oid);
    if (row === undefined) continue;
    const labelsNow = row.labels ?? [];
    marks.set(oid, {
      files: row.files,
      columns: row.columns ?? "",
      numbers: shape.columns.map(({ name }) => row.numbers?.[name] ?? 0),
      lastNumber: row.last,
      lastDropped: row.dropped,
      composites: row.composites ?? "",
      labels: labelsMark(labelsNow),
      published: row.published,
      ...(row.partitions !== null && { partitions: row.partitions }),
      labelsNow,
      partitionsFilled: row.filled ?? [],
    });
  }
  return marks;
}

/**
 * Types are followed through arrays, domains, ranges and the attributes of composites. A table that was made as a partition
 * has a column whose entry is as old as those of its system columns: attaching writes the entries of all others anew.
 */
const marksSql = `
  with recursive wanted as (select c.oid, c.relnatts from pg_class c where c.oid = any ($1::oid[])),
  reached (relation, type) as (
    select a.attrelid, a.atttypid from pg_attribute a join wanted w on w.oid = a.attrelid
     where a.attnum > 0 and not a.attisdropped
    union
    select q.relation, r.type from reached q join pg_type t on t.oid = q.type
      cross join lateral (
        select t.typelem union all select t.typbasetype
        union all select g.rngsubtype from pg_range g where g.rngtypid = t.oid
        union all select g.rngtypid from pg_range g where g.rngmultitypid = t.oid
        union all select a.atttypid from pg_attribute a
                   where a.attrelid = t.typrelid and t.typtype = 'c' and a.attnum > 0 and not a.attisdropped
      ) as r (type) where r.type <> 0
  ),
  composites (relation, digest) as (
    select r.relation, encode(sha256(string_agg(concat_ws(':', t.oid, a.attnum, a.atttypid, a.atttypmod, a.attisdropped), ','
             order by t.oid, a.attnum)::bytea), 'hex')
      from reached r join pg_type t on t.oid = r.type and t.typtype = 'c'
      join pg_attribute a on a.attrelid = t.typrelid and a.attnum > 0 group by r.relation
  ),
  labels (relation, list) as (
    select r.relation, jsonb_agg(jsonb_build_array(e.oid::int8, e.enumlabel) order by e.oid)
      from reached r join pg_enum e on e.enumtypid = r.type group by r.relation
  ),
  links (parent, oid, place, made) as (
    select i.inhparent, i.inhrelid, i.xmin::text, exists (
        select from pg_attribute a join pg_attribute s on s.attrelid = a.attrelid and s.attnum = -1
         where a.attrelid = i.inhrelid and a.attnum > 0 and a.xmin = s.xmin and a.cmin = s.cmin)
      from pg_inherits i where not i.inhdetachpending
  ),
  tree (root, oid, place, made) as (
    select w.oid, l.oid, l.place, l.made from wanted w join pg_class c on c.oid = w.oid and c.relkind = 'p' join links l on l.parent = w.oid
    union all
    select t.root, l.oid, t.place || ',' || l.place, t.made and l.made from tree t join links l on l.parent = t.oid
  ),
  partitions (root, list, filled) as (
    select t.root, jsonb_object_agg(t.oid::text, jsonb_build_array(c.relfilenode::int8, t.place)),
           jsonb_agg(t.oid::text) filter (where not t.made and t.oid <> all ($3::oid[]) and pg_relation_size(t.oid) > 0)
      from tree t join pg_class c on c.oid = t.oid where c.relkind <> 'p' group by t.root
  )
  select w.oid::int8::float8 as oid, w.relnatts::int as last, t.digest as composites, e.list as labels,
    case when c.relkind = 'p' then coalesce(p.list, '{}') end as partitions, p.filled,
    (select encode(sha256(string_agg(l.oid || ':' || l.relfilenode, ',' order by l.oid)::bytea), 'hex')
       from (select w.oid as relid union select relid from pg_partition_tree(w.oid)) f join pg_class l on l.oid = f.relid) as files,
    (select encode(sha256(string_agg(a.attnum || ':' || a.xmin, ',' order by a.attnum)::bytea), 'hex') from pg_attribute a
      where a.attrelid = w.oid and a.attnum > 0) as columns,
    (select jsonb_object_agg(a.attname, a.attnum) from pg_attribute a
      where a.attrelid = w.oid and a.attnum > 0 and not a.attisdropped) as numbers,
    (select coalesce(max(a.attnum), 0)::int from pg_attribute a
      where a.attrelid = w.oid and a.attnum > 0 and a.attisdropped) as dropped,
    (select encode(sha256(string_agg(concat_ws(':', p.oid, p.xmin, r.oid, r.xmin), ',' order by p.oid)::bytea), 'hex')
       from pg_publication p left join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = w.oid
      where p.pubname = any ($2::text[]) and (p.puballtables or r.oid is not null)) as published
    from wanted w join pg_class c on c.oid = w.oid left join composites t on t.relation = w.oid
    left join labels e on e.relation = w.oid left join partitions p on p.root = w.oid`;

/** The tables of the suite as captured tables would be: their shapes, and rows to begin with. */
import type pg from "pg";
import { quote } from "../../../src/catalog/definitions.ts";
import type { MirrorBinding } from "../../../src/views/compiled-view.ts";
import type { LawRow } from "../../../src/views/law-driver.fixture.ts";

export interface SuiteTable {
  readonly binding: MirrorBinding;
  readonly rows: readonly LawRow[];
}

const rowsMax = 120;
/** Tables with more columns than these are not asked for keys of two columns. */
const pairsOf = 5;

interface Column {
  readonly name: string;
  readonly type: string;
}

/**
 * Tables of the schema `public` and temporary ones whose names stand in the query; columns of types that are not built in
 * are left out. What was read before is in `known`.
 */
export async function readTables(
  client: pg.Client,
  query: string,
  known: Map<string, SuiteTable>,
): Promise<SuiteTable[]> {
  const words = query.toLowerCase();
  const { rows } = await client.query<{ oid: string; name: string; columns: Column[] }>(`
    select c.oid::regclass::text as oid, c.relname as name,
      json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attnum) as columns
    from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      join pg_type t on t.oid = a.atttypid and t.typnamespace = 'pg_catalog'::regnamespace and t.typtype in ('b', 'r', 'm') and t.typcategory not in ('P', 'G', 'Z')
    where c.relkind in ('r', 'p') and (n.nspname = 'public' or n.oid = pg_my_temp_schema())
    group by c.oid, c.relname, n.nspname order by n.nspname = 'public' desc, c.oid`);
  // A temporary table, which comes later, hides another of its name.
  const tables = new Map(rows.filter(({ name }) => words.includes(name)).map((row) => [row.name, row]));
  for (const { oid, name, columns } of tables.values()) {
    if (!known.has(oid)) known.set(oid, await readTable(client, known.size + 1, oid, name, columns));
  }
  return [...tables.values()].flatMap(({ oid }) => known.get(oid) ?? []);
}

async function readTable(client: pg.Client, id: number, relation: string, table: string, columns: readonly Column[]) {
  const key = await findKey(client, relation, columns);
  const texts = columns.map(({ name }) => `${quote(name)}::text as ${quote(name)}`).join(", ");
  const order = (key ?? []).length > 0 ? ` order by ${key?.map(quote).join(", ")}` : "";
  const { rows } = await client.query<Record<string, string | null>>(
    `select ${texts} from ${relation}${order} limit ${rowsMax}`,
  );
  const shape = {
    source: "regress",
    schema: "public",
    table,
    topic: `regress.public.${table}`,
    columns: columns.map(({ name, type }) => ({
      name,
      sourceType: type,
      storeType: type,
      nullable: !key?.includes(name),
      carriedAsText: false,
    })),
    key,
    appendOnly: false,
  };
  return { binding: { id, shape }, rows };
}

/** One column, or two, that tell all rows apart: the suite's tables seldom say. */
async function findKey(client: pg.Client, relation: string, columns: readonly Column[]): Promise<string[] | null> {
  const names = columns.map(({ name }) => name);
  const pairs = names.slice(0, pairsOf).flatMap((a, i) => names.slice(i + 1, pairsOf).map((b) => [a, b]));
  for (const candidate of [...names.map((name) => [name]), ...pairs]) {
    const list = candidate.map(quote).join(", ");
    const unique = `select count(*) = count(distinct (${list})) and count(*) = count(*) filter (where num_nulls(${list}) = 0) and count(*) > 0 as tells from ${relation}`;
    // A type without equality tells nothing.
    const { rows } = await client.query<{ tells: boolean }>(unique).catch(() => ({ rows: [] }));
    if (rows[0]?.tells === true) return candidate;
  }
  return null;
}

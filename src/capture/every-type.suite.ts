/**
 * One value, wherever it is looked at: in the snapshot, in the stream, in the mirror, and in a plain query of the source.
 * Over every type that the server has, with arrays of all of them.
 */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type pg from "pg";
import { quote } from "../catalog/definitions.ts";
import { readChange } from "../schema/envelope.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { viewOf } from "../views/group-fixture.ts";
import { printingSettings } from "./connection.ts";
import { MirrorFixture } from "./mirror-fixture.ts";
import type { PostgresFixture } from "./postgres-fixture.ts";
import type { Source } from "./source.ts";
import {
  builtinSamples,
  carriedAsTextReasons,
  extensionSamples,
  ownSamples,
  type TypeSamples,
  withoutValues,
} from "./type-samples.fixture.ts";

/** A table with a column for each type and one for its arrays. */
interface TypesTable {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly cells: readonly string[] }[];
  readonly rows: number;
}

/** Rows of the second time have this added to their key. */
const again = 1000;

/** A database with `ownTypes`, on any server. What the server lacks is said to the test. */
export async function checkEveryType(fixture: PostgresFixture, t: TestContext): Promise<void> {
  const extensions = await makeExtensions(fixture, t);
  const tables = [await typesTable(fixture, "builtin", builtinSamples), await typesTable(fixture, "own", ownSamples)];
  for (const name of extensions) {
    const table = await typesTable(fixture, `of_${name}`, extensionSamples[name] as TypeSamples);
    if (table.columns.length > 0) tables.push(table);
  }
  await checkCoverage(fixture, [...tables.flatMap(({ columns }) => columns.map(({ type }) => type))]);
  t.diagnostic(`${tables.reduce((sum, { columns }) => sum + columns.length, 0)} types and arrays of them`);
  for (const table of tables) await make(fixture, table);
  const source = fixture.source(tables.map(({ name }) => name));
  await fixture.caughtUp(source);
  // The server's own zone and styles are not what is carried.
  await fixture.sql(
    "set timezone = 'Asia/Kolkata'; set datestyle = 'German'; set intervalstyle = 'sql_standard'; set bytea_output = 'escape'",
  );
  for (const table of tables) {
    await insert(fixture, table, again);
    await fixture.sql(
      `update ${table.name} set id = id + ${again} where id >= ${again}; update ${table.name} set id = id`,
    );
  }
  await fixture.caughtUp(source);
  await fixture.sql(printingSettings);
  const expected = new Map<string, Cells[]>();
  for (const table of tables) expected.set(table.name, await textsOf(fixture.client, table.name, table));
  for (const table of tables) await checkTopic(fixture, source, table, expected.get(table.name) as Cells[]);
  assert.deepEqual(await fixture.read("shop.rejected"), []);
  checkCarried(source);
  await checkMirrors(fixture, source, tables, expected);
}

type Cells = readonly (string | null)[];

/** Those that the server has; the others are named. */
async function makeExtensions(fixture: PostgresFixture, t: TestContext): Promise<string[]> {
  const wanted = Object.keys(extensionSamples);
  const rows = await fixture.sql("select name from pg_available_extensions where name = any ($1)", [wanted]);
  const found = wanted.filter((name) => rows.some((row) => row.name === name));
  for (const name of found) await fixture.sql(`create extension if not exists ${quote(name)} cascade`);
  const missing = wanted.filter((name) => !found.includes(name));
  if (missing.length > 0) t.diagnostic(`skipped: the server does not have ${missing.join(", ")}`);
  return found;
}

async function typesTable(fixture: PostgresFixture, name: string, samples: TypeSamples): Promise<TypesTable> {
  const columns: { name: string; type: string; cells: string[] }[] = [];
  for (const [type, values] of Object.entries(samples)) {
    if (values.length === 0) continue;
    const [found] = await fixture.sql(
      "select t.typarray <> 0 as array, t.typnotnull as full from pg_type t where t.oid = to_regtype($1)",
      [type],
    );
    if (found === undefined) continue;
    const casted = values.map((value) => `(${value})::${type}`);
    const absent = found.full === true ? (casted[0] as string) : "null";
    columns.push({ name: `c${columns.length}`, type, cells: [...casted, absent] });
    if (found.array === true)
      columns.push({ name: `c${columns.length}`, type: `${type}[]`, cells: arraysOf(type, casted, absent) });
  }
  const rows = Math.max(...columns.map(({ cells }) => cells.length));
  return {
    name,
    columns: columns.map((column) => ({
      ...column,
      cells: Array.from({ length: rows }, (_, row) => column.cells[row] ?? (column.cells.at(-1) as string)),
    })),
    rows,
  };
}

/** What lies behind them is large. */
const elementsMax = 6;

/** Empty, with NULLs, of more dimensions, with other lower bounds; NULL itself. */
function arraysOf(type: string, values: readonly string[], absent: string): string[] {
  const [first, second = first] = values as [string];
  return [
    "'{}'",
    `array[${[...values.slice(0, elementsMax), absent].join(", ")}]`,
    `array[array[${first}, ${absent}], array[${absent}, ${second}]]`,
    `array_fill(${first}, array[2], array[0])`,
    `array_fill(${first}, array[1, 2, 1], array[-1, 2, 5])`,
    `array[${absent}]`,
    "null",
  ].map((value) => `(${value})::${type}[]`);
}

async function make(fixture: PostgresFixture, table: TypesTable): Promise<void> {
  const columns = table.columns.map(({ name, type }) => `${name} ${type}`).join(", ");
  await fixture.sql(`create table ${table.name} (id integer primary key, ${columns});
    alter table ${table.name} replica identity full`);
  await insert(fixture, table, 0);
}

async function insert(fixture: PostgresFixture, { name, columns, rows }: TypesTable, from: number): Promise<void> {
  for (let row = 0; row < rows; row++) {
    const cells = columns.map(({ cells }) => cells[row]).join(", ");
    await fixture.sql(`insert into ${name} values (${from + row}, ${cells})`);
  }
}

/** What the types' output functions print; a cast to text may differ. */
async function textsOf(client: pg.Client, from: string, { columns }: TypesTable): Promise<Cells[]> {
  const texts = columns.map(({ name }) => `case when num_nulls(${name}) = 1 then null else format('%s', ${name}) end`);
  const { rows } = await client.query<{ cells: (string | null)[] }>(
    `select array[${texts.join(", ")}] as cells from ${from} as q where q.id < ${again} order by q.id`,
  );
  return rows.map(({ cells }) => cells);
}

/** Every type that a column can have is in a table, or is known to have no values. */
async function checkCoverage(fixture: PostgresFixture, types: readonly string[]): Promise<void> {
  const none = [...Object.keys(withoutValues), ...Object.values(extensionSamples).flatMap(emptyOnes)];
  const forgotten = await fixture.sql(
    `select format_type(t.oid, null) as type from pg_type t join pg_namespace n on n.oid = t.typnamespace
       left join pg_class c on c.oid = t.typrelid left join pg_type e on e.oid = t.typelem
      where n.nspname in ('pg_catalog', 'information_schema', 'public') and t.typtype <> 'p'
        and (t.typtype <> 'c' or c.relkind = 'c') and (e.oid is null or e.typarray <> t.oid)
        and t.typname <> all ($2) and t.oid not in (select to_regtype(name) from unnest($1::text[]) name)`,
    [types, none],
  );
  assert.deepEqual(
    forgotten.map(({ type }) => type),
    [],
    "types that no test looks at",
  );
}

function emptyOnes(samples: TypeSamples): string[] {
  return Object.entries(samples).flatMap(([type, values]) => (values.length === 0 ? [type] : []));
}

/** Every image of every row in the topic, and the images among one another. */
async function checkTopic(fixture: PostgresFixture, source: Source, table: TypesTable, server: Cells[]): Promise<void> {
  const shape = source.status().tables.find((one) => one.table === table.name) as TableShape;
  const seen = new Map<string, number>();
  const images = new Map<number, string>();
  for (const { key, value, headers } of await fixture.read(shape.topic)) {
    if (value === null) continue;
    const change = readChange(value, key, headers, shape);
    const told = JSON.parse(value.toString("utf8")) as Record<"before" | "after", Record<string, unknown> | null>;
    for (const [image, row] of [
      ["before", change.before],
      ["after", change.op === "upsert" ? change.row : null],
    ] as const) {
      if (row === null) continue;
      const id = Number(row[0]);
      const about = `row ${id} (${image} of ${change.debeziumOp})`;
      table.columns.forEach(({ type }, i) => {
        assert.equal(row[i + 1], server[id % again]?.[i], `${type} in ${about}`);
      });
      const json = JSON.stringify({ ...told[image], id: 0 });
      assert.equal(json, images.get(id % again) ?? json, about);
      images.set(id % again, json);
      const name = `${image} ${change.debeziumOp}`;
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
  }
  assert.equal(images.size, table.rows);
  // Read, created, moved to another key (a delete and a create), updated in place.
  const counts = Object.fromEntries(seen);
  const { rows } = table;
  assert.deepEqual(counts, {
    "after r": rows,
    "after c": 2 * rows,
    "before d": rows,
    "before u": 2 * rows,
    "after u": 2 * rows,
  });
}

/** Of the built-in types those are carried as text that have a reason for it, and no others. */
function checkCarried(source: Source): void {
  const builtin = source.status().tables.find(({ table }) => table === "builtin") as TableShape;
  const base = (type: string) => type.replace(/\[\]$/, "");
  const carried = new Set(
    builtin.columns.filter(({ carriedAsText }) => carriedAsText).map(({ sourceType }) => base(sourceType)),
  );
  const types = new Set(builtin.columns.map(({ sourceType }) => base(sourceType)));
  assert.deepEqual(
    [...carried].sort(),
    Object.keys(carriedAsTextReasons)
      .filter((type) => types.has(type))
      .sort(),
  );
}

/** The mirrors' columns print what the source's print, or hold it as text; so do views over them. */
async function checkMirrors(
  fixture: PostgresFixture,
  source: Source,
  tables: readonly TypesTable[],
  expected: ReadonlyMap<string, Cells[]>,
): Promise<void> {
  const views = tables.map(({ name }) => viewOf(`v_${name}`, `select * from shop.${quote(name)}`));
  await using mirrors = await MirrorFixture.open(fixture, views);
  await mirrors.follow(source);
  for (const table of tables) {
    for (const from of [`shop.${quote(table.name)}`, `views.v_${table.name}`]) {
      const rows = await textsOf(mirrors.client, from, table);
      assert.equal(rows.length, table.rows);
      rows.forEach((cells, row) => {
        cells.forEach((cell, i) => {
          assert.equal(
            cell,
            expected.get(table.name)?.[row]?.[i],
            `${table.columns[i]?.type} of row ${row} in ${from}`,
          );
        });
      });
    }
  }
}

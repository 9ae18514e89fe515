/**
 * What else keeps the result of `salesQuery` beside its tables in one PostgreSQL: triggers written by hand, for each row
 * and for each statement, pg_ivm, and a materialized view that is refreshed after each batch. A client applies the batches,
 * netted by key as a group nets them, with three prepared statements a table at most and a commit.
 */
import { type Client, escapeLiteral } from "pg";
import type { FixtureCells, FixtureChange } from "../../../src/views/source-fixture.ts";
import { findPgIvm } from "../../../tools/pg-ivm.ts";
import { salesQuery, salesTables } from "./sales.ts";

export type PeerKind = "row triggers" | "statement triggers" | "pg_ivm" | "refresh";

type Table = (typeof salesTables)[number];

const schema = "peer";

/** Makes the tables anew, with these rows, and what keeps the result. */
export async function openPeer(client: Client, kind: PeerKind, rows: readonly FixtureChange[]): Promise<Peer> {
  await client.query(`drop schema if exists ${schema} cascade; create schema ${schema}`);
  for (const table of salesTables) {
    const columns = table.columns.map(({ name, storeType }) => `${name} ${storeType}`);
    await client.query(
      `create table ${schema}.${table.table} (${columns.join(", ")}, primary key (id)) with (fillfactor = 85)`,
    );
  }
  const peer = new Peer(client, kind);
  for (let i = 0; i < rows.length; i += 10_000) await peer.applyRows(rows.slice(i, i + 10_000));
  await client.query(`create index on ${schema}.orders (customer_id); create index on ${schema}.orders (product_id)`);
  for (const statement of kind === "pg_ivm" ? ivmSetup() : setup[kind]) await client.query(statement);
  await client.query("vacuum analyze");
  return peer;
}

export class Peer {
  readonly #client: Client;
  readonly #kind: PeerKind;

  constructor(client: Client, kind: PeerKind) {
    this.#client = client;
    this.#kind = kind;
  }

  /** One batch, durable and with its result when this resolves. */
  async apply(changes: readonly FixtureChange[]): Promise<void> {
    await this.applyRows(changes);
    if (this.#kind === "refresh") await this.#client.query(`refresh materialized view concurrently ${schema}.sales`);
  }

  async applyRows(changes: readonly FixtureChange[]): Promise<void> {
    const statements = salesTables.flatMap((table) => statementsOf(table, net(table, changes)));
    if (statements.length > 1) await this.#client.query("begin");
    for (const statement of statements) await this.#client.query(statement);
    if (statements.length > 1) await this.#client.query("commit");
  }

  /** Throws when the result is not what the query says of the tables. */
  async check(): Promise<void> {
    const query = salesQuery.replaceAll("shop.", `${schema}.`);
    // Triggers leave empty groups: a reader asks for others.
    const kept = `select region, category, n, amount from ${schema}.sales where n > 0`;
    const { rows } = await this.#client.query(
      `(${kept} except all (${query})) union all ((${query}) except all ${kept})`,
    );
    if (rows.length > 0) throw new Error(`${this.#kind}: ${rows.length} rows are not as the query has them`);
  }

  async close(): Promise<void> {
    await this.#client.query(`drop schema ${schema} cascade`);
    await this.#client.end();
  }
}

interface Netted {
  /** False: an update. */
  readonly isNew: boolean;
  /** Null: the row is gone. */
  row: FixtureCells | null;
}

function net(table: Table, changes: readonly FixtureChange[]): Map<string, Netted> {
  const netted = new Map<string, Netted>();
  for (const change of changes) {
    if (change.table !== table || "truncate" in change) continue;
    const row = "insert" in change ? change.insert : "update" in change ? change.update : null;
    const id = String((row ?? ("delete" in change ? change.delete : []))[0]);
    const known = netted.get(id);
    if (known) known.row = row;
    else netted.set(id, { isNew: "insert" in change, row });
  }
  return netted;
}

function statementsOf({ table, columns }: Table, netted: ReadonlyMap<string, Netted>) {
  const names = columns.map(({ name }) => name).join(", ");
  const arrays = columns.map(({ storeType }, i) => `$${i + 1}::${storeType}[]`).join(", ");
  const set = columns.slice(1).map(({ name }) => `${name} = u.${name}`);
  const all = [...netted];
  const kept = (isNew: boolean) => all.flatMap(([, one]) => (one.isNew === isNew && one.row ? [one.row] : []));
  const cells = (rows: readonly FixtureCells[]) => columns.map((_, i) => rows.map((row) => row[i]));
  const gone = all.flatMap(([id, one]) => (one.row === null && !one.isNew ? [id] : []));
  const into = `${schema}.${table}`;
  const statements = [
    { text: `insert into ${into} (${names}) select * from unnest(${arrays})`, values: cells(kept(true)) },
    {
      text: `update ${into} t set ${set.join(", ")} from unnest(${arrays}) u(${names}) where t.id = u.id`,
      values: cells(kept(false)),
    },
    { text: `delete from ${into} where id = any($1::integer[])`, values: [gone] },
  ];
  return statements.flatMap((one, i) => (one.values[0]?.length === 0 ? [] : [{ ...one, name: `peer_${table}_${i}` }]));
}

const filled = salesQuery.replaceAll("shop.", `${schema}.`);
const resultTable = [
  `create table ${schema}.sales (region text, category text, n bigint not null, amount numeric, primary key (region, category)) with (fillfactor = 50)`,
  `insert into ${schema}.sales ${filled}`,
];
function trigger(table: string, events: string, how: string, body: string): string[] {
  const name = `${table}_${events.split(" ")[0]}`;
  return [
    `create function ${schema}.${name}() returns trigger language plpgsql as $$ begin ${body} return null; end $$`,
    `create trigger ${name} after ${events} on ${schema}.${table} ${how} execute function ${schema}.${name}()`,
  ];
}

/** Contributions of orders, in whatever way their customers and products are named. */
function contributions(weight: string, from: string, region = "c.region", category = "p.category"): string {
  return `select ${region}, ${category}, ${weight} as w, o.amount from ${from} where o.status <> 'new'`;
}

function added(parts: readonly string[]): string {
  return `
    insert into ${schema}.sales as s (region, category, n, amount)
    select region, category, sum(w), sum(w * amount) from (${parts.join(" union all ")}) d (region, category, w, amount)
    group by region, category having sum(w) <> 0 or sum(w * amount) <> 0
    on conflict (region, category) do update set n = s.n + excluded.n, amount = s.amount + excluded.amount;`;
}

const joined = `join ${schema}.customers c on c.id = o.customer_id join ${schema}.products p on p.id = o.product_id`;
const ofOrder = (weight: string, rows: string) => contributions(weight, `${rows} o ${joined}`);
const ofCustomer = (weight: string, rows: string) =>
  contributions(
    weight,
    `${rows} c join ${schema}.orders o on o.customer_id = c.id join ${schema}.products p on p.id = o.product_id`,
  );
const ofProduct = (weight: string, rows: string) =>
  contributions(
    weight,
    `${rows} p join ${schema}.orders o on o.product_id = p.id join ${schema}.customers c on c.id = o.customer_id`,
  );

const forEachRow = "for each row";
const forEachStatement = (rows: string) => `referencing ${rows} for each statement`;
const both = "old table as old_rows new table as new_rows";

function ivmSetup(): string[] {
  const found = findPgIvm();
  if (!found) throw new Error("pg_ivm is not here");
  return [
    `set extension_control_path = ${escapeLiteral(`${found.control}:$system`)}`,
    `set dynamic_library_path = ${escapeLiteral(`${found.libraries}:$libdir`)}`,
    "load 'pg_ivm'",
    "create extension if not exists pg_ivm",
    `select pgivm.create_immv('${schema}.sales', ${escapeLiteral(filled)})`,
  ];
}

const setup: Readonly<Record<Exclude<PeerKind, "pg_ivm">, readonly string[]>> = {
  "row triggers": [
    ...resultTable,
    ...trigger("orders", "insert", forEachRow, added([ofOrder("1", "(select new.*)")])),
    ...trigger(
      "orders",
      "update",
      forEachRow,
      added([ofOrder("1", "(select new.*)"), ofOrder("-1", "(select old.*)")]),
    ),
    ...trigger("orders", "delete", forEachRow, added([ofOrder("-1", "(select old.*)")])),
    ...trigger(
      "customers",
      "update",
      forEachRow,
      added([ofCustomer("1", "(select new.*)"), ofCustomer("-1", "(select old.*)")]),
    ),
    ...trigger(
      "products",
      "update",
      forEachRow,
      added([ofProduct("1", "(select new.*)"), ofProduct("-1", "(select old.*)")]),
    ),
  ],
  "statement triggers": [
    ...resultTable,
    ...trigger("orders", "insert", forEachStatement("new table as new_rows"), added([ofOrder("1", "new_rows")])),
    ...trigger(
      "orders",
      "update",
      forEachStatement(both),
      added([ofOrder("1", "new_rows"), ofOrder("-1", "old_rows")]),
    ),
    ...trigger("orders", "delete", forEachStatement("old table as old_rows"), added([ofOrder("-1", "old_rows")])),
    ...trigger(
      "customers",
      "update",
      forEachStatement(both),
      added([ofCustomer("1", "new_rows"), ofCustomer("-1", "old_rows")]),
    ),
    ...trigger(
      "products",
      "update",
      forEachStatement(both),
      added([ofProduct("1", "new_rows"), ofProduct("-1", "old_rows")]),
    ),
  ],
  refresh: [
    `create materialized view ${schema}.sales as ${filled}`,
    `create unique index on ${schema}.sales (region, category)`,
  ],
};

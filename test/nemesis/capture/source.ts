/**
 * The source that is captured under fire: four tables, and an account of every change to them that the database keeps
 * itself. The account is made in the transaction that it tells of, so that it shares its fate.
 */
import type pg from "pg";
import type { Audit, AuditRow, JudgedTable } from "../../support/capture-judge.ts";

export const accountCount = 100;
export const balanceSum = accountCount * 1_000;

export const judgedTables: readonly JudgedTable[] = [
  { name: "accounts", topic: "fire.public.accounts", key: ["id"], columns: ["balance"] },
  { name: "items", topic: "fire.public.items", key: ["id"], columns: ["v", "doc"], hashed: ["doc"] },
  { name: "bulk", topic: "fire.public.bulk", key: ["batch", "n"], columns: ["v"] },
  { name: "whole", topic: "fire.public.whole", key: ["id"], columns: ["v", "note"], hashed: ["note"] },
];

/** Held from the end of a transaction's work to its commit, so that places are the order of commits. */
export const placeLock = 77;

const tablesSql = `
create table accounts (id int primary key, balance bigint not null);
create table items (id int primary key, v int not null, doc text);
alter table items alter doc set storage external;
create table bulk (batch int, n int, v int not null, primary key (batch, n));
create table whole (id int primary key, v int not null, note text);
alter table whole replica identity full;
create table noise (v text);
create sequence audit_seq;
create table audit (
  seq bigint primary key default nextval('audit_seq'),
  xid bigint not null default pg_current_xact_id()::text::bigint & 4294967295,
  lsn pg_lsn not null default pg_current_wal_insert_lsn(),
  tbl text not null, op text not null, key text not null, value text not null);
create index on audit (xid);
create table places (
  place bigserial primary key,
  xid bigint not null default pg_current_xact_id()::text::bigint & 4294967295);
`;

const rowsSql = (rows: number) => `
insert into accounts select i, 1000 from generate_series(1, ${accountCount}) i;
insert into items select i, i, case when i % 3 = 0 then repeat(md5(i::text), 100) end from generate_series(1, ${rows}) i;
insert into bulk select 0, i, i from generate_series(1, ${rows * 10}) i;
insert into whole select i, i, 'note ' || i from generate_series(1, ${rows}) i;
`;

/** A table's columns as the judge prints them. */
function printed(columns: readonly string[], hashed: readonly string[] = [], row = ""): string {
  const parts = columns.map((column) => {
    const value = `${row}${column}`;
    return `coalesce(${hashed.includes(column) ? `md5(${value})` : `${value}::text`}, '-')`;
  });
  return parts.join(" || '|' || ");
}

function triggerSql({ name, key, columns, hashed }: JudgedTable): string {
  const [oldKey, newKey] = [printed(key, [], "old."), printed(key, [], "new.")];
  const value = printed(columns, hashed, "new.");
  const tell = (op: string, keyText: string, valueText: string) =>
    `insert into audit (tbl, op, key, value) values ('${name}', '${op}', ${keyText}, ${valueText});`;
  return `
create function audit_${name}() returns trigger language plpgsql as $$
begin
  if tg_op = 'TRUNCATE' then ${tell("t", "''", "''")}
  elsif tg_op = 'INSERT' then ${tell("c", newKey, value)}
  elsif tg_op = 'DELETE' then ${tell("d", oldKey, "''")}
  elsif ${oldKey} = ${newKey} then ${tell("u", newKey, value)}
  else ${tell("d", oldKey, "''")} ${tell("c", newKey, value)}
  end if;
  return null;
end $$;
create trigger audit after insert or update or delete on ${name} for each row execute function audit_${name}();
create trigger audit_truncate after truncate on ${name} for each statement execute function audit_${name}();`;
}

/** `rows` are those of most tables; one has ten times as many. */
export async function makeSource(client: pg.Client, rows: number): Promise<void> {
  await client.query(tablesSql + judgedTables.map(triggerSql).join("\n"));
  await client.query(rowsSql(rows));
}

/** Rows of a table by key, as the judge prints them. `from` is its name there: a mirror has the same columns. */
export async function printedRows(
  client: pg.Client,
  { key, columns, hashed }: JudgedTable,
  from: string,
): Promise<Map<string, string>> {
  const { rows } = await client.query<{ k: string; v: string }>(
    `select ${printed(key)} as k, ${printed(columns, hashed)} as v from ${from}`,
  );
  return new Map(rows.map(({ k, v }) => [k, v]));
}

interface AuditRecord {
  readonly seq: string;
  readonly xid: string;
  readonly lsn: string;
  readonly tbl: string;
  readonly op: AuditRow["op"];
  readonly key: string;
  readonly value: string;
}

const pageRows = 50_000;

/** The account, over this connection. Ids of transactions are not used twice within a test. */
export async function openAudit(client: pg.Client): Promise<Audit> {
  const places = await client.query<{ place: string; xid: string }>("select place, xid from places");
  return {
    places: new Map(places.rows.map(({ place, xid }) => [Number(xid), Number(place)])),
    async rowsOf(xids) {
      const { rows } = await client.query<AuditRecord>(
        "select seq, xid, lsn, tbl, op, key, value from audit where xid = any ($1) order by xid, seq",
        [xids],
      );
      return new Map(
        Array.from(
          Map.groupBy(rows, ({ xid }) => Number(xid)),
          ([xid, list]) => [xid, list.map(auditRow)],
        ),
      );
    },
    async *others(xids) {
      await client.query("create temp table captured (xid bigint primary key)");
      await client.query("insert into captured select distinct unnest($1::bigint[])", [[...xids]]);
      for (let seq = 0; ; ) {
        const { rows } = await client.query<AuditRecord>(
          `select seq, xid, lsn, tbl, op, key, value from audit a
            where seq > $1 and not exists (select 1 from captured c where c.xid = a.xid) order by seq limit ${pageRows}`,
          [seq],
        );
        for (const row of rows) yield auditRow(row);
        if (rows.length < pageRows) return;
        seq = Number(rows.at(-1)?.seq);
      }
    },
  };
}

function auditRow({ seq, lsn, tbl, op, key, value }: AuditRecord): AuditRow {
  return { seq: Number(seq), lsn, table: tbl, op, key, value };
}

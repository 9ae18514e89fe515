/** What somebody who has the shared role's password can do on any store, and what not. Part of `store.suite.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { eventually } from "../../test/support/program.ts";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { lockBeside } from "./roles.ts";
import { SharedSessions } from "./shared-sessions.ts";
import type { Store, StoreAddress } from "./store.ts";

/** Lifts every limit that a session may lift for itself. */
const lifted =
  "set default_transaction_read_only = off; set statement_timeout = 0; set lock_timeout = 0; set transaction_timeout = 0;" +
  "set idle_in_transaction_session_timeout = 0";

const refused: readonly string[] = [
  "set role pg_read_all_data",
  "alter role current_user superuser",
  "alter role current_user createrole",
  "alter role current_user connection limit -1",
  "grant pg_read_server_files to current_user",
  "alter system set fsync = off",
  "set session_replication_role = replica",
  "select pg_read_file('/etc/passwd')",
  "select pg_read_binary_file('/etc/passwd')",
  "select pg_ls_dir('/')",
  "select pg_stat_file('/etc/passwd')",
  "select lo_import('/etc/passwd')",
  "select pg_reload_conf()",
  "copy views.guarded to '/tmp/guarded'",
  "copy views.guarded to program 'cat'",
  "copy (select 1) to program 'true'",
  "create extension dblink",
  "create extension file_fdw",
  "create foreign data wrapper mine",
  "create language mine handler plpgsql_call_handler",
  "create schema mine",
  "create function views.leak(int) returns boolean language sql cost 0.0000001 as 'select true'",
  "create function public.leak(int) returns boolean language sql cost 0.0000001 as 'select true'",
  "create view views.mine with (security_invoker = true) as select 1",
  "create materialized view public.mine as select 1",
  "create or replace view views.guarded as select 2 as id",
  "drop view views.guarded",
  "alter view views.guarded owner to current_user",
  "alter view views.guarded set (security_invoker = true)",
  "insert into views.guarded values (2)",
  "update views.guarded set id = 2",
  "delete from views.guarded",
  "begin; lock table views.guarded in access exclusive mode",
  "begin; lock table views.guarded in share mode",
  "select * from hidden.guarded_state",
  "prepare p as insert into views.guarded values (2); execute p",
  "do $$ begin execute 'delete from views.guarded'; end $$",
  "begin; declare c cursor with hold for select * from hidden.guarded_state",
  "create trigger mine before insert on views.guarded execute function suppress_redundant_updates_trigger()",
  "create publication mine for all tables",
  "create subscription mine connection 'host=127.0.0.1' publication mine",
  "select pg_create_physical_replication_slot('mine')",
  "select pg_switch_wal()",
];

export function sharedRoleTests(store: () => Store): void {
  test("who has the shared role's password reads what is granted, whatever else they try", async () => {
    await store().admin.query(`
      create schema hidden;
      create table hidden.guarded_state (id int, secret text);
      insert into hidden.guarded_state values (1, 'secret');
      create view views.guarded as select id from hidden.guarded_state;
      grant usage on schema views to "${store().reader.user}";
      grant select on views.guarded to "${store().reader.user}"`);
    const writer = (await store().admin.query("select current_user as name")).rows[0].name;
    for (const sql of [`set role "${writer}"`, `set session authorization "${writer}"`, ...refused]) {
      const error = await asReader(store().reader, sql, lifted).then(
        () => assert.fail(`it was not refused: ${sql}`),
        (one: pg.DatabaseError) => one,
      );
      // Of an extension that is not installed that is said first.
      assert.match(error.code ?? "", /^(42501|0A000|42809|55000|58P01)$/, `${sql}: ${error.message}`);
    }
    assert.deepEqual((await asReader(store().reader, "select * from guarded", lifted)).rows, [{ id: 1 }]);
    assert.deepEqual((await store().admin.query("table hidden.guarded_state")).rows, [{ id: 1, secret: "secret" }]);
  });

  test("it can make neither temporary tables nor large objects, on a server of one's own once its owner has said so", async () => {
    for (const sql of ["create temporary table mine (id int)", "select lo_create(0)", "set temp_file_limit = -1"]) {
      await assert.rejects(asReader(store().reader, sql, lifted), { code: "42501" }, sql);
    }
  });

  test("its sessions begin with limits", async () => {
    const sql = `select name, setting from pg_settings where name in ('default_transaction_read_only', 'lock_timeout',
      'idle_in_transaction_session_timeout', 'transaction_timeout', 'search_path', 'TimeZone', 'client_connection_check_interval') order by 1`;
    const { rows } = await asReader(store().reader, sql);
    assert.deepEqual(Object.fromEntries(rows.map(({ name, setting }) => [name, setting])), {
      client_connection_check_interval: "1000",
      default_transaction_read_only: "on",
      idle_in_transaction_session_timeout: "60000",
      lock_timeout: "10000",
      search_path: "views, public",
      TimeZone: "UTC",
      transaction_timeout: "600000",
    });
    const { rows: roles } = await store().admin.query(
      "select rolconnlimit as connections from pg_roles where rolname = $1",
      [store().reader.user],
    );
    assert.deepEqual(roles, [{ connections: 40 }]);
  });

  test("a transaction that is too long is ended, also where its session has lifted the limits; the program's are not", async () => {
    const hostile = await connectReader(store().reader);
    const gone = new Promise<void>((resolve) => hostile.once("end", () => resolve()));
    await hostile.query(lifted);
    await hostile.query("begin isolation level repeatable read; select 1");
    const program = await store().readers.connect();
    await program.query("begin; select 1");
    const { admin, reader } = store();
    const sessions = new SharedSessions({
      admin,
      role: reader.user,
      transactionMs: 600_000,
      clock: systemClock,
      diagnostics: silentDiagnostics,
    });
    await sessions.look();
    await hostile.query("select 1");
    await sessions.look(0);
    await gone;
    await sessions.close();
    await program.query("commit");
    program.release();
  });

  test("an advisory lock of its keeps nobody from starting", async () => {
    const hostile = await connectReader(store().reader);
    const gone = new Promise<void>((resolve) => hostile.once("end", () => resolve()));
    await hostile.query("select pg_advisory_lock(hashtext('millrace_store'))");
    const other = await connectReader(store().reader);
    await other.query("select pg_advisory_lock(4711)");
    const starting = await store().connect("start");
    await starting.query("begin");
    await lockBeside(starting, "millrace_store", store().reader.user);
    await gone;
    await starting.query("rollback");
    await starting.end();
    await other.query("select 1");
    await other.end();
  });

  test("a statement of somebody who has gone away ends", async () => {
    const client = await connectReader(store().reader);
    await client.query("set statement_timeout = 0");
    const running = async () => {
      const { rowCount } = await store().admin.query(
        "select from pg_stat_activity where usename = $1 and state = 'active' and query like '%pg_sleep(61)%'",
        [store().reader.user],
      );
      return rowCount;
    };
    client.query("select pg_sleep(61)").catch(() => {});
    await eventually(async () => (await running()) === 1 || undefined);
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await eventually(async () => (await running()) === 0 || undefined);
  });
}

/** As people's tools come in: by the address that the store names, with no settings of their own. */
export async function asReader(address: StoreAddress, sql: string, before?: string): Promise<pg.QueryResult> {
  const client = await connectReader(address);
  try {
    if (before !== undefined) await client.query(before);
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

async function connectReader(address: StoreAddress): Promise<pg.Client> {
  const client = new pg.Client({ ...address });
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** What every store does, embedded or the user's own. A variant hands in how to open one and how to kill its server. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { asReader, sharedRoleTests } from "./shared-role.suite.ts";
import type { Store } from "./store.ts";

export interface StoreVariant {
  open(limits: { readonly readersMax: number; readonly statementTimeoutMs: number }): Promise<Store>;
  /** SIGKILL for the server; it is started again by whoever minds it. */
  kill(): void;
  close(): Promise<void>;
}

export function storeSuite(name: string, prepare: () => Promise<StoreVariant>): void {
  suite(`store: ${name}`, () => {
    let variant: StoreVariant;
    let store: Store;
    before(async () => {
      variant = await prepare();
      store = await variant.open({ readersMax: 3, statementTimeoutMs: 300 });
      await store.admin.query("create schema views; create schema shop");
    });
    after(async () => {
      await store?.close();
      await variant?.close();
    });

    test("the server is PostgreSQL 18 or later", () => {
      assert.ok(store.serverVersion >= 180_000);
      assert.equal(store.state(), "up");
      assert.equal(store.problem?.(), null);
    });

    test("values have one text form, whatever the database and the role say otherwise", async () => {
      await store.admin.query(`
        do $$ begin
          execute format('alter role %I in database %I set timezone = %L', current_user, current_database(), 'Asia/Tokyo');
          execute format('alter role %I in database %I set datestyle = %L', current_user, current_database(), 'German');
          execute format('alter role %I in database %I set extra_float_digits = %L', current_user, current_database(), '-5');
          execute format('alter role %I in database %I set synchronous_commit = %L', current_user, current_database(), 'off');
        end $$`);
      const writer = await store.connect("test");
      const forms = `select timestamptz '2026-11-21 09:00:00.000001+02' ::text as t, date '2026-02-01' ::text as d,
        interval '1 day 2 hours' ::text as i, (0.1::float8 + 0.2::float8) ::text as f, '\\x00ff'::bytea ::text as b`;
      const expected = {
        t: "2026-11-21 07:00:00.000001+00",
        d: "2026-02-01",
        i: "P1DT2H",
        f: "0.30000000000000004",
        b: "\\x00ff",
      };
      assert.deepEqual((await writer.query(forms)).rows, [expected]);
      assert.deepEqual((await store.readers.query(forms)).rows, [expected]);
      assert.equal((await writer.query("show synchronous_commit")).rows[0].synchronous_commit, "on");
      await writer.end();
    });

    test("the program reads all that the writing role makes, people what they are granted", async () => {
      const writer = await store.connect("test");
      await writer.query(`
        create table shop.orders (id int primary key, total numeric);
        insert into shop.orders values (1, 9.50);
        create view views.order_cards as select id, total from shop.orders;
        create schema millrace;
        create table millrace.order_cards__1 as table shop.orders;
        do $$ begin execute format('grant usage on schema views to %I', '${store.reader.user}'); end $$;
        grant select on views.order_cards to "${store.reader.user}"`);
      await writer.end();
      const card = { id: 1, total: "9.50" };
      assert.deepEqual((await store.readers.query("select * from shop.orders")).rows, [card]);
      assert.deepEqual((await store.readers.query("select * from views.order_cards")).rows, [card]);
      assert.deepEqual((await store.readers.query("select * from millrace.order_cards__1")).rows, [card]);
      assert.deepEqual((await asReader(store.reader, "select * from order_cards")).rows, [card]);
      assert.deepEqual((await store.shared.query("select * from order_cards")).rows, [card]);
      for (const name of ["shop.orders", "millrace.order_cards__1"]) {
        await assert.rejects(asReader(store.reader, `select * from ${name}`), { code: "42501" }, name);
      }
    });

    test("the reader writes nothing, also in a transaction that it declares writable", async () => {
      await store.admin.query("create table if not exists shop.stock (id int)");
      await assert.rejects(store.readers.query("insert into shop.stock values (1)"), { code: "25006" });
      for (const sql of [
        "insert into shop.stock values (1)",
        "truncate shop.stock",
        "create table shop.mine (id int)",
        "create table public.mine (id int)",
        "create schema mine",
        "create role mine",
        "set role pg_write_all_data",
        "copy shop.stock to program 'true'",
        "select pg_create_logical_replication_slot('mine', 'pgoutput')",
      ]) {
        await assert.rejects(
          asReader(store.reader, sql, "set default_transaction_read_only = off"),
          { code: "42501" },
          sql,
        );
      }
      assert.equal((await store.admin.query("select from shop.stock")).rowCount, 0);
    });

    sharedRoleTests(() => store);

    test("the reader does not see the logins", async () => {
      for (const pool of [store.readers, store.shared]) {
        await assert.rejects(pool.query("select * from millrace_store.logins"), { code: "42501" });
      }
    });

    test("a reader's statement that runs too long is cancelled", async () => {
      await assert.rejects(store.readers.query("select pg_sleep(60)"), { code: "57014" });
      await assert.rejects(asReader(store.reader, "select pg_sleep(60)"), { code: "57014" });
    });

    test("connections that are cut fail what they were doing, and nothing else", async () => {
      const writer = await store.connect("cut");
      const idle = await store.connect("cut");
      const held = await store.readers.connect();
      await store.readers.query("select 1");
      const running = assert.rejects(writer.query("select pg_sleep(60)"));
      // The pool's other connection idles; a query may still be given to it before its end is noticed.
      const noticed = new Promise((resolve) => store.readers.once("remove", resolve));
      const gone = [held, idle].map((client) => new Promise<void>((resolve) => client.once("end", () => resolve())));
      const cut = `select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user
        and datname = current_database() and pid <> pg_backend_pid() and application_name = `;
      const cutProgram = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'millrace reader'`;
      await store.admin.query(`${cut} 'millrace cut'`);
      // Its own sessions are not those of people's tools.
      await assert.rejects(asReader(store.reader, cutProgram), { code: "42501" });
      await store.admin.query(cutProgram);
      await Promise.all([running, noticed, ...gone]);
      await assert.rejects(held.query("select 1"));
      held.release(true);
      assert.equal((await store.readers.query("select 1 as one")).rows[0].one, 1);
      await Promise.all([writer.end(), idle.end()].map((end) => end.catch(() => {})));
    });

    test("a second process of the same store reads with the same login", async () => {
      const { rows } = await store.admin.query("select role, password from millrace_store.logins order by role desc");
      assert.deepEqual(rows[0], { role: store.reader.user, password: store.reader.password });
      assert.deepEqual(
        rows.map(({ role }) => role.replace(/_app$/, "")),
        ["millrace_reader", "millrace_program"],
      );
    });

    test("a server that is killed is told as down, is up again, and serves what was there", async () => {
      await store.admin.query("create table shop.kept as select 42 as answer");
      const states: string[] = [];
      const back = new Promise<void>((resolve) => {
        store.onChange((state) => {
          states.push(state);
          if (state === "up") resolve();
        });
      });
      const writer = await store.connect("test");
      const failed = assert.rejects(writer.query("select pg_sleep(60)"));
      variant.kill();
      await failed;
      await back;
      assert.deepEqual(states, ["down", "up"]);
      assert.equal((await store.readers.query("select answer from shop.kept")).rows[0].answer, 42);
      await writer.end().catch(() => {});
    });
  });
}

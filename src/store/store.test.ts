import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, suite, test } from "node:test";
import pg from "pg";
import { type TestFolder, testFolder, testPrograms } from "../../test/support/postgres.ts";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { systemRandom } from "../base/random.ts";
import { besideDatabase } from "./beside.ts";
import { type EmbeddedServer, openEmbeddedServer } from "./embedded-server.ts";
import { storeSuite } from "./store.suite.ts";
import { openStore, type Store, type StoreOptions } from "./store.ts";

const binDirectory = await testPrograms();
const parts = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };

function optionsFor(dataDirectory: string, url: string | null = null): StoreOptions {
  return { ...parts, url, dataDirectory, port: 0, portRequired: false, binDirectory };
}

storeSuite("embedded", async () => {
  const folder = await testFolder();
  const pidFile = path.join(folder.path, "pg", "data", "postmaster.pid");
  return {
    open: (limits) => openStore({ ...optionsFor(folder.path), ...limits }),
    kill: () => process.kill(Number.parseInt(readFileSync(pidFile, "utf8"), 10), "SIGKILL"),
    close: () => folder[Symbol.asyncDispose](),
  };
});

// Beside the store, and of the same programs: what a user's own server is to Millrace.
let folder: TestFolder;
let server: EmbeddedServer;
before(async () => {
  folder = await testFolder();
  const dataDirectory = path.join(folder.path, "server");
  server = await openEmbeddedServer({ ...parts, dataDirectory, port: 0, portRequired: false, binDirectory });
});
after(async () => {
  await server?.close();
  await folder?.[Symbol.asyncDispose]();
});

storeSuite("a server of one's own, over TCP, with a role that is no superuser", async () => {
  await asSuperuser("create role app login createrole password 'app'");
  await asSuperuser("create database app");
  await asSuperuser("grant create, temporary on database app to app");
  // As docs/guide/sql.md tells its owner.
  await asSuperuser("revoke temporary on database app from public");
  await asSuperuser(
    "revoke execute on function lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) from public",
    "app",
  );
  const url = `postgres://app:app@127.0.0.1:${server.port}/app`;
  return {
    open: (limits) => openStore({ ...optionsFor(folder.path, url), ...limits }),
    kill: () => process.kill(server.pid() ?? 0, "SIGKILL"),
    close: async () => {},
  };
});

suite("a server of one's own", () => {
  test("what it lacks is refused with the SQL that helps, and nothing is left behind", async () => {
    const open = (user: string, database: string) =>
      openStore(optionsFor(folder.path, `postgres://${user}:x@127.0.0.1:${server.port}/${database}`));
    await asSuperuser("create role plain login password 'x'");
    await assert.rejects(open("plain", "postgres"), {
      code: "STORE_NOT_PERMITTED",
      hint: 'As an administrator of the store, run: grant create on database "postgres" to "plain"; alter role "plain" createrole;',
    });
    await assert.rejects(open("nobody", "postgres"), { code: "STORE_NOT_PERMITTED" });
    await asSuperuser("create database latin encoding 'LATIN1' locale_provider libc locale 'C' template template0");
    await assert.rejects(open("plain", "latin"), { code: "STORE_UNSUITABLE" });

    // The hint's words are enough.
    await asSuperuser('grant create on database "postgres" to "plain"');
    await asSuperuser('alter role "plain" createrole');
    const first = await open("plain", "postgres");
    assert.equal(first.createDatabase, undefined);

    await step("processes that start together agree on the reader", async () => {
      const others = await Promise.all([open("plain", "postgres"), open("plain", "postgres")]);
      for (const other of others) assert.deepEqual(other.reader, first.reader);
      await Promise.all(others.map((other) => other.close()));
    });
    await step("a reader whose password was changed is given its own again", async () => {
      await asSuperuser(`alter role ${first.reader.user} password 'other'`);
      const other = await open("plain", "postgres");
      assert.equal((await other.readers.query("select 1 as one")).rows[0].one, 1);
      await other.close();
    });
    await step("two stores in two databases of one server have a reader each", async () => {
      await asSuperuser('create database second owner "plain"');
      const other = await open("plain", "second");
      assert.notEqual(other.reader.user, first.reader.user);
      await other.close();
    });
    await step("a group's database is made by a role that may, else by who runs what the hint says", async () => {
      await assert.rejects(besideOf(first, "reports"), {
        code: "STORE_NOT_PERMITTED",
        hint: /^As an administrator of the store, run: create database "postgres_reports" .* owner "plain"; or give/,
      });
      await asSuperuser('alter role "plain" createdb');
      const reports = await besideOf(first, "reports");
      assert.deepEqual([reports.kind, reports.reader.database], ["own", "postgres_reports"]);
      assert.notEqual(reports.reader.user, first.reader.user);
      await reports.admin.query("create schema kept");
      await reports.close();
      const again = await besideOf(first, "reports");
      await assert.rejects(again.admin.query("create schema kept"), { code: "42P06" }, "found again");
      await again.close();
    });
    await first.close();
  });

  test("a server that does not answer is waited for, and then named", async () => {
    const url = "postgres://app@127.0.0.1:1/app";
    await assert.rejects(openStore({ ...optionsFor(folder.path, url), openTimeoutMs: 0 }), {
      code: "STORE_UNAVAILABLE",
    });
  });
});

/** A step of a test that shares a server with the steps before it. */
async function step(name: string, take: () => Promise<void>): Promise<void> {
  try {
    await take();
  } catch (cause) {
    throw new Error(`not so: ${name}`, { cause });
  }
}

function besideOf(store: Store, group: string): Promise<Store> {
  assert.ok(store.beside);
  return store.beside(group);
}

test("a database beside another is called by both, and by a hash where that would be too long", () => {
  assert.equal(besideDatabase("millrace", "reports"), "millrace_reports");
  const long = besideDatabase("d".repeat(50), "g".repeat(48));
  assert.match(long, /^d{40}_[0-9a-f]{16}$/);
  assert.notEqual(besideDatabase("d".repeat(50), `${"g".repeat(47)}h`), long);
});

suite("the embedded store", () => {
  test("keeps a group's database beside its own, with readers of its own, and goes on when that is closed", async () => {
    await using folder = await testFolder();
    const store = await openStore(optionsFor(folder.path));
    try {
      const reports = await besideOf(store, "reports");
      await reports.admin.query("create schema views; create table views.secret as select 1 as id");
      assert.equal((await reports.readers.query("select * from views.secret")).rowCount, 1);
      await assert.rejects(connectsAndReads({ ...store.reader, database: "millrace_reports" }, "views.secret"), {
        code: "42501",
      });
      assert.equal(
        (await reports.shared.query("select has_database_privilege(current_database(), 'temporary') as may")).rows[0]
          .may,
        false,
      );
      await reports.close();
      assert.equal((await store.readers.query("select 1 as one")).rows[0].one, 1);
      const again = await besideOf(store, "reports");
      assert.equal((await again.readers.query("select * from views.secret")).rowCount, 1);
      await again.close();
    } finally {
      await store.close();
    }
  });

  test("keeps another database with a role of its own, which replicates and sees nothing of the store", async () => {
    await using folder = await testFolder();
    const store: Store = await openStore(optionsFor(folder.path));
    try {
      const request = { name: "shop", role: "shop", password: "it's a shop" };
      await store.createDatabase?.({ ...request, password: "before" });
      const address = await store.createDatabase?.(request);
      assert.ok(address);
      const client = new pg.Client({ ...address });
      await client.connect();
      await client.query("create table orders (id int primary key); create publication p for table orders");
      await client.query("select pg_create_logical_replication_slot('shop', 'pgoutput')");
      assert.equal(
        (await client.query("select rolsuper from pg_roles where rolname = 'shop'")).rows[0].rolsuper,
        false,
      );
      await client.end();

      await assert.rejects(connects({ ...address, password: "before" }), { code: "28P01" });
      const peek = new pg.Client({ ...address, database: "millrace" });
      await peek.connect();
      await assert.rejects(peek.query("select * from millrace_store.logins"), { code: "42501" });
      await peek.end();
      await assert.rejects(connects({ ...store.reader, database: "shop" }), { code: "42501" });
    } finally {
      await store.close();
    }
  });
});

async function connects(config: pg.ClientConfig): Promise<void> {
  const client = new pg.Client(config);
  client.on("error", () => {});
  await client.connect();
  await client.end();
}

async function connectsAndReads(config: pg.ClientConfig, table: string): Promise<void> {
  const client = new pg.Client(config);
  await client.connect();
  await client.query(`select * from ${table}`).finally(() => client.end());
}

async function asSuperuser(sql: string, database = "postgres"): Promise<void> {
  const client = new pg.Client({
    host: server.host,
    port: server.port,
    user: server.superuser,
    password: server.password,
    database,
  });
  await client.connect();
  await client.query(sql);
  await client.end();
}

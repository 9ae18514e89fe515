import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../../test/support/postgres.ts";
import { MillraceError } from "../base/errors.ts";
import { postgres } from "../catalog/definitions.ts";
import type { Finding } from "./findings.ts";
import { lookAtDefinition, lookAtUrl, spelledOut } from "./source-look.ts";

let database: TestDatabase;
let owner: pg.Client;
let url: string;
const orphan = `millrace_gone_${process.pid}`;
const roles = [`look_owner_${process.pid}`, `look_reader_${process.pid}`] as const;

before(async () => {
  database = await testDatabase();
  owner = new pg.Client({ connectionString: database.url });
  await owner.connect();
  const [tables, reader] = roles;
  await owner.query(`create role ${tables}; create role ${reader} login replication;
    grant create on database "${new URL(database.url).pathname.slice(1)}" to ${reader};
    create table orders (id integer primary key); create table clicks (at text); create table secrets (id integer primary key);
    alter table orders owner to ${tables}; alter table clicks owner to ${tables}; alter table secrets owner to ${tables};
    grant select on orders, clicks to ${reader}`);
  const address = new URL(database.url);
  address.username = reader;
  url = address.href;
});

after(async () => {
  await owner?.query(`drop owned by ${roles.join(", ")}; drop role ${roles.join(", ")}`);
  await owner?.end();
  await database?.[Symbol.asyncDispose]();
});

async function findings(state: Finding["state"]): Promise<string[]> {
  const found = [...(await lookAtUrl(url)), ...(await lookAtDefinition(postgres("shop", { url, tables: ["orders"] })))];
  return found
    .filter((one) => one.state === state && one.what.startsWith("tables"))
    .map(({ message, hint }) => `${message}: ${hint ?? ""}`);
}

test("tables that the role may read but not publish are a failure, until it may or the publication is there", async () => {
  const [tables, reader] = roles;
  const failed = await findings("failed");
  assert.equal(failed.length, 2);
  for (const words of failed) assert.match(words, new RegExp(`does not own orders.*grant "${tables}" to "${reader}";`));
  await owner.query("create publication millrace_shop_00000000 for table orders");
  assert.deepEqual(await findings("failed"), []);
  await owner.query(`drop publication millrace_shop_00000000; grant ${tables} to ${reader}`);
  assert.deepEqual(await findings("failed"), []);
  await owner.query(`revoke ${tables} from ${reader}; alter table orders owner to current_user`);
  for (const words of await findings("failed")) assert.doesNotMatch(words, /grant "/);
  await owner.query(`alter table orders owner to ${tables}`);
});

test("what the server would keep without a bound, and what other Millraces left there, is told with what to do", async () => {
  const told = async () =>
    (await lookAtUrl(url))
      .filter(({ state }) => state === "warning")
      .map(({ message, hint }) => `${message}: ${hint ?? ""}`)
      .join("\n");
  assert.match(await told(), /max_slot_wal_keep_size is not set.*alter system set max_slot_wal_keep_size/);
  await owner.query("select pg_create_logical_replication_slot($1, 'pgoutput')", [orphan]);
  try {
    assert.match(
      await told(),
      new RegExp(`slot ${orphan} .*not in use, and holds .*pg_drop_replication_slot\\('${orphan}'\\)`),
    );
  } finally {
    await owner.query("select pg_drop_replication_slot($1)", [orphan]);
  }
  assert.doesNotMatch(await told(), new RegExp(orphan));
});

test("tables that cannot be read, and tables without a key, are named with what to do", async () => {
  const warnings = (await findings("warning")).join("\n");
  assert.match(warnings, /1 cannot be read by .*: secrets: .*grant select/);
  assert.match(warnings, /1 without a key: clicks: .*replica identity full/);
});

test("patterns are spelled out by the database: tables with a key, of whoever they are", async () => {
  const named = async (...tables: string[]) =>
    (await spelledOut(postgres("shop", { url, tables }))).tables.map(({ table }) => table);
  // Clicks has no key: published, its updates would fail.
  assert.deepEqual(await named("*"), ["orders", "secrets"]);
  assert.deepEqual(await named("orders", "s*", "!nothing"), ["orders", "secrets"]);
  assert.deepEqual(await named("orders"), ["orders"]);
  const refused = (error: unknown) => MillraceError.is(error, "USAGE_INVALID") && error.hint !== undefined;
  await assert.rejects(named("audit.*"), refused);
  const away = postgres("shop", { url: "postgres://u@127.0.0.1:1/x", tables: ["*"] });
  await assert.rejects(spelledOut(away), refused);
});

test("a look at a definition tells which tables match and cannot be captured", async () => {
  const found = await lookAtDefinition(postgres("shop", { url: database.url, tables: ["*", "audit.*"] }));
  const told = found
    .filter(({ what }) => what === "tables of shop")
    .map(({ state, message }) => `${state}: ${message}`);
  assert.match(told[0] ?? "", /^ok: 2 can be captured/);
  assert.ok(
    told.some((line) => /warning: "public.clicks" matches "\*", and is not captured: .*no primary key/.test(line)),
    told.join(),
  );
  assert.ok(told.includes('warning: no table matches "audit.*"'));
});

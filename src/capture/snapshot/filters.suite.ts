/** What must hold of columns and conditions of captured tables, on a server that is handed in. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PostgresOptions } from "../../catalog/definitions.ts";
import { failure, type PostgresFixture } from "../postgres-fixture.ts";

type Tables = PostgresOptions<readonly { readonly name: string }[]>["tables"];

const tables = (...all: object[]): Tables => all as unknown as Tables;

/** The rows that the topic's newest beginning and what follows it leave, by id. */
async function rowsOf(fixture: PostgresFixture, topic = "shop.public.t"): Promise<Record<string, unknown>[]> {
  let from = 0;
  for (const event of await fixture.events()) {
    const begins = event.status === "SNAPSHOT_BEGIN" || (event.status === "TABLE_BEGIN" && event.table.topic === topic);
    if (begins) from = event.frontier[topic] ?? 0;
  }
  const rows = new Map<unknown, Record<string, unknown>>();
  for (const { offset, value } of await fixture.read(topic)) {
    if (offset < from || value === null) continue;
    const { op, before, after } = JSON.parse(String(value));
    if (op === "d") rows.delete(before.id);
    else rows.set(after.id, after);
  }
  return [...rows.values()].sort((a, b) => Number(a.id) - Number(b.id));
}

/** Before PostgreSQL 15 no server has conditions: there they are refused, which is all that can be said of them. */
async function conditionRefused(fixture: PostgresFixture, where: string): Promise<boolean> {
  const [server] = await fixture.sql("select current_setting('server_version_num')::int < 150000 as old");
  if (server?.old !== true) return false;
  const source = fixture.source(tables({ name: "t", where }));
  const error = await failure(source);
  assert.equal(error.code, "SOURCE_FILTER_REFUSED");
  assert.match(error.message, /PostgreSQL 15 or later is needed; this is 14/);
  await fixture.sql("update t set status = 'x'; delete from t");
  return true;
}

const setUp = `create table t (id int primary key, status text, secret text); alter table t alter column secret set storage external;
  insert into t select i, case when i % 2 = 0 then 'new' else 'done' end, 's' || i from generate_series(1, 6) i`;

export function filtersSuite(
  name: string,
  open: (sql: string) => Promise<PostgresFixture>,
  skip: string | false = false,
): void {
  describe(name, { skip }, () => {
    test("columns in or out: what is left out is in no event, of a snapshot or of the stream", async () => {
      for (const columns of [["id", "status"], { except: ["secret"] }]) {
        await using fixture = await open(setUp);
        const source = fixture.source(tables({ name: "t", columns }));
        await fixture.caughtUp(source);
        await fixture.sql(
          "insert into t values (7, 'new', 'hidden'); update t set secret = 'x' where id = 1; delete from t where id = 2",
        );
        await fixture.caughtUp(source);
        const expected = await fixture.sql("select id, status from t order by id");
        assert.deepEqual(await rowsOf(fixture), expected);
        assert.doesNotMatch(
          (await fixture.read("shop.public.t")).map(({ value }) => String(value)).join(),
          /secret|hidden/,
        );
      }
    });

    test("what is left out is in no large transaction, no change of a key and nothing that is set aside", async () => {
      await using fixture = await open(`${setUp}; alter table t add column n int`);
      await fixture.sql(`alter database ${fixture.database.name} set logical_decoding_work_mem = '64kB'`);
      const source = fixture.source(tables({ name: "t", columns: { except: ["secret"] } }), {
        settings: { eventBytesMax: 5_000 },
      });
      await fixture.caughtUp(source);
      await fixture.sql(`begin; insert into t select i, 'big', repeat('hidden', 50), i from generate_series(100, 1100) i; update t set id = id + 10000 where id > 1000;
        insert into t values (7, repeat('x', 9000), 'hidden', 7); commit`);
      await fixture.caughtUp(source);
      const expected = await fixture.sql("select id, status, n from t where id <> 7 order by id");
      assert.deepEqual(await rowsOf(fixture), expected);
      const [aside] = (await fixture.read("shop.rejected")).map(({ value }) => JSON.parse(String(value)));
      assert.equal(aside?.table, "public.t");
      const kept = [...(await fixture.read("shop.public.t")), ...(await fixture.read("shop.rejected"))];
      assert.doesNotMatch(kept.map(({ value }) => String(value)).join(), /secret|hidden/);
      assert.doesNotMatch(Buffer.from(String(aside?.bytes ?? ""), "base64").toString("latin1"), /hidden/);
    });

    test("a condition: a row that no longer fulfils it is deleted, and one that does from now on is there", async () => {
      await using fixture = await open(`${setUp}; alter table t replica identity full`);
      if (await conditionRefused(fixture, "status <> 'done'")) return;
      const source = fixture.source(tables({ name: "t", where: "status <> 'done' -- or not" }));
      await fixture.caughtUp(source);
      const same = async () => {
        await fixture.caughtUp(source);
        assert.deepEqual(
          await rowsOf(fixture),
          await fixture.sql("select * from t where status <> 'done' order by id"),
        );
      };
      await same();
      await fixture.sql(
        "update t set status = 'done' where id = 2; update t set status = 'new' where id = 3; insert into t values (8, 'done', ''), (9, 'new', '')",
      );
      await fixture.sql("delete from t where id in (4, 5)");
      await same();
    });

    test("a condition that is changed leads to the table being read anew, alone", async () => {
      await using fixture = await open(setUp);
      if (await conditionRefused(fixture, "id < 3")) return;
      await fixture.caughtUp(fixture.source(tables({ name: "t", where: "id < 3" })));
      await fixture.restart();
      const source = fixture.source(tables({ name: "t", where: "id > 3" }));
      await fixture.caughtUp(source);
      await fixture.sql("insert into t values (0, 'new', ''), (10, 'new', '')");
      await fixture.caughtUp(source);
      assert.deepEqual(await rowsOf(fixture), await fixture.sql("select * from t where id > 3 order by id"));
      const statuses = (await fixture.events()).map(({ status }) => status);
      assert.equal(statuses.filter((status) => status === "SNAPSHOT_BEGIN").length, 1);
      assert.equal(statuses.filter((status) => status === "TABLE_END").length, 1);
      await fixture.restart();
      await fixture.caughtUp(fixture.source(tables({ name: "t", where: "id > 3" })));
      assert.equal((await fixture.events()).filter(({ status }) => status === "TABLE_BEGIN").length, 1);
    });

    test("a column that is added to a table with columns left out is captured after the table was read", async () => {
      await using fixture = await open(setUp);
      const source = fixture.source(tables({ name: "t", columns: { except: ["secret"] } }), {
        settings: { auditMs: 20 },
      });
      await fixture.caughtUp(source);
      await fixture.sql("alter table t add column n int; update t set status = 'seen' where id = 1");
      // A server that leaves columns out itself sends the new one when it is told to.
      const told = ["TABLE_END", "SCHEMA"];
      while (!(await fixture.events()).some(({ status }) => told.includes(status))) await fixture.caughtUp(source);
      await fixture.sql("update t set n = id");
      await fixture.caughtUp(source);
      assert.deepEqual(await rowsOf(fixture), await fixture.sql("select id, status, n from t order by id"));
    });

    const refused: readonly (readonly [
      what: string,
      table: { readonly columns: readonly string[] } | { readonly where: string },
      sql: string,
      message: RegExp,
    ])[] = [
      ["a column that is not there", { columns: ["id", "nothing"] }, "", /no column "nothing"/],
      ["a key that is left out", { columns: ["status"] }, "", /"id", which is in its key/],
      [
        "columns left out under replica identity full",
        { columns: ["id"] },
        "alter table t replica identity full",
        /replica identity full/,
      ],
      [
        "a condition over a column that is not in the identity",
        { where: "status = 'new'" },
        "",
        /"status", which is not in its replica identity/,
      ],
      ["a condition that is no SQL", { where: "status is" }, "", /the server refuses/],
    ];

    for (const [what, table, sql, message] of refused) {
      test(`${what} is refused, before the application's own updates would be`, async () => {
        await using fixture = await open(`${setUp}; ${sql}`);
        if ("where" in table && (await conditionRefused(fixture, table.where))) return;
        const error = await failure(fixture.source(tables({ name: "t", ...table })));
        assert.equal(error.code, "SOURCE_FILTER_REFUSED");
        assert.match(error.message, message);
        await fixture.sql("update t set status = 'x'; delete from t");
      });
    }
  });
}

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { column, GroupFixture, refusalOf } from "./reader-fixture.ts";
import type { ViewsReader } from "./view-info.ts";

describe("queries of people", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  before(async () => {
    fixture = await GroupFixture.open({ poolSize: 2 });
    reader = fixture.reader();
    await fixture.createView("cards", { columns: [column("id", "integer"), column("name", "text")], key: ["id"] });
    await fixture.commit("cards", {
      upsert: [
        { id: 1, name: "a" },
        { id: 2, name: "b" },
      ],
    });
  });
  after(() => fixture[Symbol.asyncDispose]());

  const limits = { rowsMax: 10, timeoutMs: 5_000 };

  const refusal = (sql: string, given = limits) => refusalOf(reader.query(sql, given));

  test("a query answers its columns and at most as many rows as were asked for", async () => {
    assert.deepEqual(await reader.query("select id, name from views.cards order by id;", limits), {
      columns: ["id", "name"],
      rows: [
        [1, "a"],
        [2, "b"],
      ],
    });
    const many = await reader.query(
      " -- a comment\n/* another */ with n as (select generate_series(1, 1e9)) table n",
      limits,
    );
    assert.equal(many.rows.length, 10);
    assert.deepEqual((await reader.query("show timezone", limits)).rows, [["UTC"]]);
    assert.ok((await reader.query("explain select 1", limits)).rows.length > 0);
    assert.deepEqual((await reader.query("(select 1 as a, 2 as a)", limits)).columns, ["a", "a"]);
  });

  test("values have the forms of rows", async () => {
    const sql = `select 1::int8, 1.50::numeric, 'NaN'::float8, 0.5::float4, true, null, '\\x00ff'::bytea,
    '2026-11-21 10:00:00.5+02'::timestamptz, '2026-11-21 10:00:00'::timestamp, '{"a":1}'::jsonb, 'infinity'::timestamptz`;
    assert.deepEqual((await reader.query(sql, limits)).rows, [
      [
        "1",
        "1.50",
        "NaN",
        0.5,
        true,
        null,
        "AP8=",
        "2026-11-21T08:00:00.500000Z",
        "2026-11-21T10:00:00",
        { a: 1 },
        "infinity",
      ],
    ]);
  });

  test("PostgreSQL's message and position come with QUERY_INVALID", async () => {
    const unknown = await refusal("select id,\n nam from views.cards");
    assert.equal(unknown.code, "QUERY_INVALID");
    assert.match(unknown.message, /column "nam" does not exist/);
    assert.deepEqual(unknown.details, { sqlState: "42703", position: "select id,\n ".length + 1 });
    assert.equal((await refusal("selec 1")).details.position, 1);
    assert.match((await refusal("select * from cards")).hint ?? "", /^Views are views\.<name>/);
    assert.match((await refusal(" -- nothing")).message, /empty/);
    assert.match((await refusal("select 1/0")).message, /division by zero/);
    assert.match((await refusal("select '\0'")).message, /NUL/);
  });

  test("a query cannot write, and cannot be two statements", async () => {
    assert.match((await refusal("insert into millrace.cards__1 values (9, 'x')")).message, /read-only/);
    assert.match((await refusal("delete from millrace.cards__1")).hint ?? "", /nothing can be written/);
    assert.match((await refusal("with x as (delete from millrace.cards__1 returning 1) table x")).message, /./);
    assert.match((await refusal("select 1; select 2")).message, /syntax error|multiple commands/);
    assert.match((await refusal("commit; drop view views.cards")).message, /multiple commands/);
    assert.equal((await reader.query("select count(*) from views.cards", limits)).rows[0]?.[0], "2");
  });

  test("a query that runs too long is QUERY_TIMEOUT, and the next one is served", async () => {
    assert.equal((await refusal("select pg_sleep(60)", { rowsMax: 1, timeoutMs: 20 })).code, "QUERY_TIMEOUT");
    assert.equal((await reader.query("select 1", limits)).rows.length, 1);
  });

  test("an answer that is too large in bytes is refused before it is in memory", async () => {
    const error = await refusal("select repeat('x', 20000000)");
    assert.equal(error.code, "QUERY_INVALID");
    assert.match(error.message, /larger than/);
  });

  test("nothing that a query sets, prepares or locks outlives it", async () => {
    await reader.query("prepare leftover as select 1", limits);
    await reader.query("select set_config('TimeZone', 'Asia/Tokyo', false), pg_advisory_lock(4711)", limits);
    await reader.query("set session statement_timeout = 1", limits);
    const sql =
      "select count(*)::int, (select count(*)::int from pg_locks where locktype = 'advisory'), current_setting('TimeZone') from pg_prepared_statements where name = 'leftover'";
    assert.deepEqual((await reader.query(sql, limits)).rows, [[0, 0, "UTC"]]);
  });

  test("an answer that has been cut says so", async () => {
    assert.equal((await reader.query("select generate_series(1, 10)", limits)).more, undefined);
    const cut = await reader.query("select generate_series(1, 11)", limits);
    assert.deepEqual([cut.rows.length, cut.more], [10, true]);
  });

  test("a query that nobody waits for any more gives its connection back", async () => {
    const leaving = new AbortController();
    const running = reader.query("select pg_sleep(60)", { ...limits, timeoutMs: 60_000 }, leaving.signal);
    const refused = assert.rejects(running, /gone/);
    leaving.abort(new Error("gone"));
    await refused;
    await assert.rejects(reader.query("select 1", limits, leaving.signal), /gone/);
    const both = await Promise.all([reader.query("select 1 as a", limits), reader.query("select 1 as a", limits)]);
    assert.deepEqual(both[1]?.columns, ["a"]);
  });
});

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type pg from "pg";
import { openReader } from "./reader.ts";
import { column, GroupFixture, refusalOf } from "./reader-fixture.ts";
import type { RowQuery, SnapshotRead, ViewsReader } from "./view-info.ts";

describe("several reads in one snapshot", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  const all: RowQuery = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };
  const rowsOfLeft = 'from views."left" as v';
  const both: readonly SnapshotRead[] = [
    { view: "left", query: all },
    { view: "right", key: ["1"], select: null },
  ];

  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    for (const name of ["left", "right"]) {
      await fixture.createView(name, {
        columns: [column("id", "integer"), column("n", "bigint"), column("note", "text", true)],
        key: ["id"],
      });
      await fixture.admin.query(`insert into millrace.${name}__1 values (1, 0, 'one')`);
    }
    fixture.definitions = [
      { name: "left", references: [{ name: "other", view: "right", on: [["id", "id"]] }] },
      { name: "right" },
    ];
  });
  after(() => fixture[Symbol.asyncDispose]());

  /** One batch that changes both views. */
  function commitBoth(): Promise<unknown> {
    return fixture.admin.query(
      "begin; update millrace.left__1 set n = n + 1; update millrace.right__1 set n = n + 1;" +
        "update millrace.fixture_group set batch = batch + 1; commit",
    );
  }

  /** A reader of the same pool that is interrupted after each statement that has this text. */
  function interrupted(after: string, work: () => Promise<unknown>): ViewsReader {
    const { pool } = fixture;
    const connect = async () => {
      const client = await pool.connect();
      const query = client.query.bind(client) as (statement: unknown, values?: unknown) => Promise<unknown>;
      const seam = async (statement: unknown, values?: unknown) => {
        const answer = await query(statement, values);
        const text = typeof statement === "string" ? statement : (statement as { text: string }).text;
        if (text.includes(after)) await work();
        return answer;
      };
      return Object.assign(Object.create(client) as pg.PoolClient, {
        query: seam,
        release: (broken?: boolean) => client.release(broken),
      });
    };
    const readers = { options: pool.options, connect } as unknown as pg.Pool;
    return openReader({ group: fixture.group, store: { readers }, clock: fixture.clock, rowCacheBytesMax: 0 });
  }

  const countOf = (json: string | null) => Number(JSON.parse(json ?? "{}").n);

  async function counts(from: ViewsReader): Promise<{ left: number; right: number; batch: number }> {
    const { position, results } = await from.readAll(both);
    const [left, right] = results;
    assert.ok(left && "rows" in left && right && "row" in right);
    return { left: countOf(left.rows[0] ?? null), right: countOf(right.row), batch: position.batch };
  }

  test("a batch that is committed between two of them is in none of them", async () => {
    const before = await counts(reader);
    assert.deepEqual(await counts(interrupted(rowsOfLeft, commitBoth)), before);
    assert.deepEqual(await counts(reader), {
      left: before.left + 1,
      right: before.right + 1,
      batch: before.batch + 1,
    });
  });

  test("canary: in two transactions the batch is noticed", async () => {
    const between = interrupted(rowsOfLeft, commitBoth);
    const left = await between.rows("left", all);
    const right = await between.row("right", ["1"], null);
    assert.notEqual(countOf(left.rows[0] ?? null), countOf(right.row?.body ?? null));
    assert.notDeepEqual(left.position, right.position);
  });

  test("no view, embedded or read, becomes another version's between two of them", async () => {
    const refused: unknown[] = [];
    const swap = async () => {
      const sql =
        "begin; set local lock_timeout = '20ms'; create or replace view views.right as table millrace.right__1";
      await fixture.admin.query(sql).catch((error) => refused.push(error.code));
      await fixture.admin.query("rollback");
    };
    const embedded: RowQuery = {
      ...all,
      select: [{ relation: "other", inner: false, select: null, filter: null, order: [], limit: null, offset: 0 }],
    };
    await interrupted(rowsOfLeft, swap).readAll(both);
    await interrupted(rowsOfLeft, swap).readAll([{ view: "left", query: embedded }]);
    const { pages } = await interrupted("p.oldest_batch from", swap).snapshot("right", null);
    for await (const page of pages) assert.equal(page.length, 1);
    assert.deepEqual(refused, ["55P03", "55P03", "55P03"]);
  });

  test("each has its page, its count and its cursor as alone", async () => {
    await fixture.admin.query("insert into millrace.left__1 select i, 0 from generate_series(2, 5) i");
    const query: RowQuery = { ...all, select: ["id"], limit: 2, count: "exact" };
    const { results } = await reader.readAll([
      { view: "left", query },
      { view: "left", query: { ...query, count: "planned" } },
      { view: "left", key: ["77"], select: null },
    ]);
    const { position: _, ...alone } = await reader.rows("left", query);
    assert.deepEqual(results[0], alone);
    assert.equal((results[0] as { total?: number }).total, 5);
    assert.ok("rows" in (results[1] ?? {}) && ((results[1] as { total?: number }).total ?? 0) > 0);
    assert.deepEqual(results[2], { row: null });
    await fixture.admin.query("delete from millrace.left__1 where id > 1");
  });

  test("together they are no larger than one read may be: a list that is cut goes on by its cursor", async () => {
    const long = "x".repeat(2_000);
    await fixture.admin.query("insert into millrace.left__1 select i, 0, $1 from generate_series(2, 9) i", [long]);
    const small = fixture.reader({ rowsBytesMax: 10_000 });
    const { results } = await small.readAll([
      { view: "left", query: all },
      { view: "left", query: all },
    ]);
    for (const result of results) {
      assert.ok("rows" in result && result.next !== null);
      assert.ok(result.rows.join().length <= 8_000, `${result.rows.join().length}`);
    }
    await fixture.admin.query("delete from millrace.left__1 where id > 1");
  });

  test("an error names the read that it is of, and the next reads are served", async () => {
    const unknown = await refusalOf(
      reader.readAll([both[0] as SnapshotRead, { view: "rihgt", query: all }]),
      "VIEW_UNKNOWN",
      /^reads\[1\]: there is no view "rihgt"/,
    );
    assert.equal(unknown.details.read, 1);
    const filter = { kind: "compare", column: "id", operator: "eq", values: ["abc"], negated: false } as const;
    const reads: SnapshotRead[] = [...both, { view: "left", query: { ...all, filter } }];
    const invalid = await refusalOf(reader.readAll(reads), "FILTER_INVALID", /^reads\[2\]: the value for column "id"/);
    assert.deepEqual(invalid.details, { column: "id", type: "bigint", read: 2 });
    await refusalOf(reader.readAll([{ view: "left", key: ["a", "b"], select: null }]), "KEY_INVALID", /^reads\[0\]/);
    await counts(reader);
  });

  test("what takes longer than the bound of all of them is given up, and its connection with it", async () => {
    await fixture.createView("slow", { columns: [column("id", "integer")], key: ["id"] });
    await fixture.admin.query(
      "create or replace view views.slow as select id from millrace.slow__1, lateral (select pg_sleep(60)) s;" +
        "insert into millrace.slow__1 values (1)",
    );
    const reads: SnapshotRead[] = [...both, { view: "slow", query: all }];
    await refusalOf(fixture.reader({ readAllMs: 300 }).readAll(reads), "QUERY_TIMEOUT", /^reads\[\d\]/);
    await counts(reader);
  });
});

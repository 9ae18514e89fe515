import assert from "node:assert/strict";
import { test } from "node:test";
import { quote } from "../catalog/definitions.ts";
import { readChange, unchangedHeader } from "../schema/envelope.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { viewOf } from "../views/group-fixture.ts";
import { checkEveryType } from "./every-type.suite.ts";
import { MirrorFixture } from "./mirror-fixture.ts";
import { PostgresFixture } from "./postgres-fixture.ts";
import { ownTypes } from "./type-samples.fixture.ts";

test("for every type the value of a snapshot, of the stream, of a mirror and of the server are one, byte for byte", async (t) => {
  await using fixture = await PostgresFixture.open(ownTypes);
  await checkEveryType(fixture, t);
});

test("an enum's label that is added while the stream runs is carried, in arrays and domains too, without a snapshot", async () => {
  await using fixture = await PostgresFixture.open(`create type mood as enum ('fine'); create domain feeling as mood;
    create table t (id int primary key, m mood, f feeling, a mood[], c text)`);
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  await fixture.sql("insert into t values (1, 'fine', 'fine', '{fine}')");
  await fixture.sql("alter type mood add value 'tired' before 'fine'; alter type mood rename value 'fine' to 'well'");
  await fixture.sql("insert into t values (2, 'tired', 'well', '{tired,NULL,well}')");
  await fixture.caughtUp(source);
  assert.deepEqual(
    (await fixture.values("shop.public.t")).map(({ after }) => after),
    [
      { id: 1, m: "fine", f: "fine", a: ["fine"], c: null },
      { id: 2, m: "tired", f: "well", a: ["tired", null, "well"], c: null },
    ],
  );
  assert.equal((await fixture.events()).filter(({ status }) => status === "SNAPSHOT_BEGIN").length, 1);
});

test("what the server refuses in text and jsonb never reaches us, and what it takes does", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text, j jsonb, r json)");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  await assert.rejects(fixture.sql("insert into t values (1, E'a\\x00b')"), /invalid byte sequence/);
  await assert.rejects(fixture.sql(`insert into t values (1, null, '"\\u0000"')`), /unsupported Unicode escape/);
  await assert.rejects(fixture.sql(`insert into t values (1, null, '"\\ud800"')`), /invalid input syntax/);
  await fixture.sql(`insert into t values (1, U&'\\FFFF\\+10FFFF', '"\\uffff"', '"\\u0000 \\ud800"')`);
  await fixture.caughtUp(source);
  const [event] = await fixture.values("shop.public.t");
  assert.deepEqual(event?.after, { id: 1, v: "\uffff\u{10ffff}", j: '"\uffff"', r: '"\\u0000 \\ud800"' });
});

const largeText = "(select string_agg(md5(i::text), '') from generate_series(1, 300) i)";

for (const [identity, sql] of [
  ["default", ""],
  ["full", "alter table docs replica identity full"],
  ["index", "create unique index code on docs (code); alter table docs replica identity using index code"],
] as const) {
  test(`large values that did not change, under replica identity ${identity}: never made up, and the mirror has them`, async () => {
    await using fixture = await PostgresFixture.open(`
      create table docs (id int primary key, code text not null, body text, tags jsonb, words text[], n int);
      alter table docs alter body set storage external, alter tags set storage external, alter words set storage external;
      ${sql};
      insert into docs select i, 'code ' || i, body, jsonb_build_object('t', body), array[body, null, 'x'], 0
        from generate_series(1, 3) i, lateral (select ${largeText} || i as body) b`);
    const key = identity === "index" ? "code" : "id";
    const source = fixture.source(["docs"]);
    await fixture.caughtUp(source);
    // Unchanged; the key changed; both at once with one value set; then back to where no value is stored out of line.
    await fixture.sql("update docs set n = 1");
    await fixture.sql("update docs set id = 20, code = 'code 20' where id = 2");
    await fixture.sql(
      "begin; update docs set id = 30, code = 'c30' where id = 3; update docs set tags = null where id = 30; commit",
    );
    await fixture.sql("update docs set body = 'short' where id = 20; update docs set n = 2 where id = 20");
    await fixture.caughtUp(source);
    const shape = source.status().tables[0] as TableShape;
    assert.deepEqual(shape.key, [key]);
    const told: unknown[] = [];
    for (const record of (await fixture.read("shop.public.docs")).slice(3)) {
      if (record.value === null) continue;
      const { debeziumOp, row } = readChange(record.value, record.key, record.headers, shape);
      const named = record.headers.find((header) => header.key === unchangedHeader)?.value;
      const absent = shape.columns.flatMap(({ name }, i) => (row[i] === undefined ? [name] : []));
      if (debeziumOp !== "d") assert.equal(named === undefined ? "[]" : String(named), JSON.stringify(absent));
      told.push([debeziumOp, debeziumOp === "d" ? "" : absent.join(" ")]);
    }
    const all = identity === "full" ? "" : "body tags words";
    const two = (without: string) => all.replace(new RegExp(` ?${without}`), "").trim();
    assert.deepEqual(told, [
      ["u", all],
      ["u", all],
      ["u", all],
      ["d", ""],
      ["c", all],
      ["d", ""],
      ["c", all],
      ["u", two("tags")],
      ["u", two("body")],
      ["u", two("body")],
    ]);
    await using mirrors = await MirrorFixture.open(fixture, [viewOf("v", "select * from shop.docs")]);
    await mirrors.follow(source);
    const rows = "select row(q.*)::text as row from";
    const server = await fixture.sql(`${rows} docs q order by id`);
    assert.deepEqual(await mirrors.rows(`${rows} shop.docs q order by id`), server);
    assert.deepEqual(await mirrors.rows(`${rows} views.v q order by id`), server);
  });
}

test("a table's columns of every kind of name are told apart in the event and in the mirror", async () => {
  const names = ["a.b", 'say "x"', "Ä", "before", "op", "__proto__", "constructor", "x".repeat(63), "1"];
  const columns = names.map((name, i) => `${quote(name)} int default ${i}`).join(", ");
  await using fixture = await PostgresFixture.open(`create table t (id int primary key, ${columns})`);
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  await fixture.sql("insert into t values (1)");
  await fixture.caughtUp(source);
  const [record] = await fixture.read("shop.public.t");
  const after = /"after":(\{.*?\}),"op"/.exec(String(record?.value).replace(/,"source".*/, ',"op"'))?.[1] ?? "";
  assert.deepEqual(after, `{${[`"id":1`, ...names.map((name, i) => `${JSON.stringify(name)}:${i}`)].join(",")}}`);
  await using mirrors = await MirrorFixture.open(fixture, [viewOf("v", "select * from shop.t")]);
  await mirrors.follow(source);
  const select = "select row(q.*)::text as row from";
  assert.deepEqual(await mirrors.rows(`${select} shop.t q`), await fixture.sql(`${select} t q`));
});

/**
 * The law: after every batch a view equals its query run plainly over the mirrors, values and text, and its change
 * rows replayed are the view. Run with MILLRACE_MODEL_RUNS for more, MILLRACE_MODEL_SEED for one seed again.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type pg from "pg";
import { type Random, seededRandom } from "../base/random.ts";
import { sql, view } from "../catalog/definitions.ts";
import { compileViewSync } from "./compile.ts";
import type { CompiledView, MirrorBinding } from "./compiled-view.ts";
import { type LawChange, LawDriver, withDatabase } from "./law-driver.fixture.ts";
import { features, keyedFeatures, type LawFeature, lawSeed, multisetFeatures } from "./law-features.fixture.ts";
import { makeBatch, makeQuery, makeTables } from "./law-generator.fixture.ts";
import { pick } from "./law-pieces.fixture.ts";
import { makeWhole, wholeFeatures, wholeRefreshMs } from "./law-whole.fixture.ts";

const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 3);
const firstSeed = Number(process.env.MILLRACE_MODEL_SEED ?? 1);

function definition(name: string, text: string, key?: readonly string[]) {
  return view(name, { ...sql``, text }, key === undefined ? {} : { key });
}

function wholeDefinition(name: string, text: string, key?: readonly string[]) {
  return { ...definition(name, text, key), refreshMs: wholeRefreshMs };
}

test("a generated view equals its query after every batch of a generated history", async (t) => {
  t.diagnostic(`seeds ${firstSeed} to ${firstSeed + runs - 1}`);
  await withDatabase(async (client) => {
    for (let seed = firstSeed; seed < firstSeed + runs; seed++) await onSeed(client, seed);
  });
});

async function onSeed(client: pg.Client, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const mirrors = makeTables(random);
  const driver = await LawDriver.create(client, mirrors);
  const views: CompiledView[] = [];
  let doing = "";
  try {
    await driver.batch(makeBatch(random, mirrors, 30));
    for (let i = 0; i < 4; i++) {
      const query = makeQuery(random, mirrors);
      doing = query.text;
      views.push(await driver.define(definition(`v${i}`, query.text)));
    }
    doing = views.map((one) => one.query).join("\n");
    for (let i = 0; i < 8; i++) await driver.batch(makeBatch(random, mirrors, i % 3 === 0 ? 3 : 25));
    for (const one of views) await driver.drop(one);
  } catch (cause) {
    throw new Error(`MILLRACE_MODEL_SEED=${seed} MILLRACE_MODEL_RUNS=1\n${doing}`, { cause });
  }
}

test("each feature keeps the law through inserts, updates of join keys, deletes, reuse of keys and truncates", async () => {
  const random = seededRandom(lawSeed);
  const mirrors = makeTables(random);
  await withDatabase(async (client) => {
    for (const group of chunks([...features, ...keyedFeatures, ...multisetFeatures], 8)) {
      const driver = await LawDriver.create(client, mirrors);
      await driver.batch(makeBatch(random, mirrors, 40));
      const views: CompiledView[] = [];
      for (const [i, { about, text, key }] of group.entries()) {
        await named(about, async () => views.push(await driver.define(definition(`v${i}`, text, key))));
      }
      for (let i = 0; i < 6; i++)
        await driver.batch([...makeBatch(random, mirrors, 30), ...(i === 3 ? truncate(random, mirrors) : [])]);
      for (const one of views) await driver.drop(one);
    }
  });
});

test("a view that is recomputed whole knows when it is behind, and is its query whenever it was recomputed", async () => {
  const random = seededRandom(firstSeed + 1);
  const mirrors = makeTables(random);
  await withDatabase(async (client) => {
    for (const group of chunks(wholeFeatures, 5)) await keepsWhole(client, random, mirrors, group);
    for (let i = 0; i < runs; i++) {
      const queries = Array.from({ length: 4 }, () => ({ about: `seed ${firstSeed}`, ...makeWhole(random, mirrors) }));
      await keepsWhole(client, random, mirrors, queries);
    }
  });
});

test("the law notices a view that does not know that it is behind, and one that is brought a wrong row", async () => {
  const mirrors = makeTables(seededRandom(5));
  const text = "select id, a from t0 order by n desc nulls last, id limit 5";
  const broken: Readonly<Record<string, Break>> = {
    "a change is not noted": (compiled) => ({ ...compiled, terms: [] }),
    "what is gone stays": (compiled) => {
      const { whole } = compiled;
      assert.ok(whole);
      return { ...compiled, whole: { ...whole, bring: (batch) => whole.bring(batch).slice(1) } };
    },
    "change rows are not written": (compiled) => {
      const { whole } = compiled;
      assert.ok(whole);
      return { ...compiled, whole: { ...whole, bring: (batch) => whole.bring(batch).toSpliced(2, 1) } };
    },
  };
  await withDatabase(async (client) => {
    for (const [about, change] of Object.entries(broken)) {
      const random = seededRandom(5);
      const driver = await LawDriver.create(client, mirrors);
      const compiled = await driver.define(wholeDefinition("v", text), change);
      const history = async () => {
        for (let i = 0; i < 6; i++) await driver.batch(makeBatch(random, mirrors, 30));
      };
      await assert.rejects(history, /./, about);
      await client.query("rollback");
      await driver.drop(compiled);
    }
  });
});

async function keepsWhole(
  client: pg.Client,
  random: Random,
  mirrors: readonly MirrorBinding[],
  queries: readonly LawFeature[],
): Promise<void> {
  const driver = await LawDriver.create(client, mirrors);
  await driver.batch(makeBatch(random, mirrors, 30));
  const views: CompiledView[] = [];
  for (const [i, { about, text, key }] of queries.entries()) {
    await named(`${about}: ${text}`, async () => {
      const compiled = await driver.define(wholeDefinition(`v${i}`, text, key));
      assert.equal(compiled.class, "whole");
      views.push(compiled);
    });
  }
  // Now and then only one table changes, which some of them do not read.
  for (let i = 0; i < 6; i++) {
    const changing = i % 3 === 0 ? [pick(random, mirrors)] : mirrors;
    await driver.batch([...makeBatch(random, changing, 20), ...(i === 4 ? truncate(random, mirrors) : [])]);
  }
  for (const one of views) await driver.drop(one);
}

function truncate(random: Random, mirrors: readonly MirrorBinding[]): LawChange[] {
  const mirrorId = mirrors[random.below(mirrors.length)]?.id ?? 0;
  return [{ op: "truncate", mirrorId }];
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

async function named(about: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new Error(about, { cause });
  }
}

test("the views of TPC-B stand at zero after every transaction", async () => {
  const random = seededRandom(11);
  const mirrors = bankTables();
  await withDatabase(async (client) => {
    const driver = await LawDriver.create(client, mirrors);
    for (const [i, [column, table, balance]] of [
      ["bid", "branches", "bbalance"],
      ["tid", "tellers", "tbalance"],
      ["aid", "accounts", "abalance"],
    ].entries()) {
      const text = `select ${column}, count(*) as n, sum(v) as difference from (select ${column}, ${balance} as v from bank.pgbench_${table} union all select ${column}, -delta from bank.pgbench_history) x group by ${column}`;
      const compiled = await driver.define(definition(`per_${i}`, text));
      assert.deepEqual(compiled.key, [column]);
    }
    const total =
      "select sum(v) as difference from (select abalance as v from bank.pgbench_accounts union all select -tbalance from bank.pgbench_tellers) x";
    assert.deepEqual((await driver.define(definition("total", total))).key, []);
    const bank = new Bank(random);
    await driver.batch(bank.load());
    for (let i = 0; i < 10; i++) {
      await driver.batch(Array.from({ length: random.below(20) }, () => bank.transaction()).flat());
      const { rows } = await client.query(
        "select difference from views.per_0 union all select difference from views.per_1 union all select difference from views.per_2 union all select difference from views.total",
      );
      assert.deepEqual([...new Set(rows.map((row) => row.difference))], ["0"]);
    }
  });
});

function bankTables(): MirrorBinding[] {
  const integers = (
    id: number,
    table: string,
    names: readonly string[],
    key: readonly string[] | null,
  ): MirrorBinding => ({
    id,
    shape: {
      source: "bank",
      schema: "public",
      table,
      topic: `bank.public.${table}`,
      columns: names.map((name) => ({
        name,
        sourceType: "integer",
        storeType: "integer",
        nullable: key?.includes(name) !== true,
        carriedAsText: false,
      })),
      key,
      appendOnly: key === null,
    },
  });
  return [
    integers(4, "pgbench_accounts", ["aid", "bid", "abalance"], ["aid"]),
    integers(1, "pgbench_branches", ["bid", "bbalance"], ["bid"]),
    integers(3, "pgbench_tellers", ["tid", "bid", "tbalance"], ["tid"]),
    integers(2, "pgbench_history", ["tid", "bid", "aid", "delta"], null),
  ];
}

class Bank {
  readonly #random: Random;
  readonly #balances = new Map<string, number>();
  #offset = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  load(): LawChange[] {
    return [...Array(40).keys()].flatMap((i) => [
      this.#account(i, 0),
      ...(i < 6 ? [this.#teller(i, 0)] : []),
      ...(i < 2 ? [this.#branch(i, 0)] : []),
    ]);
  }

  transaction(): LawChange[] {
    const [aid, tid, delta] = [this.#random.below(40), this.#random.below(6), this.#random.below(1000) - 500];
    const [bid, offset] = [tid % 2, this.#offset++];
    const row = {
      tid: String(tid),
      bid: String(bid),
      aid: String(aid),
      delta: String(delta),
      _millrace_offset: String(offset),
    };
    return [
      this.#account(aid, delta),
      this.#teller(tid, delta),
      this.#branch(bid, delta),
      { op: "put", mirrorId: 2, row },
    ];
  }

  #moved(key: string, delta: number): string {
    const balance = (this.#balances.get(key) ?? 0) + delta;
    this.#balances.set(key, balance);
    return String(balance);
  }

  #account(aid: number, delta: number): LawChange {
    return {
      op: "put",
      mirrorId: 4,
      row: { aid: String(aid), bid: String(aid % 2), abalance: this.#moved(`a${aid}`, delta) },
    };
  }

  #teller(tid: number, delta: number): LawChange {
    return {
      op: "put",
      mirrorId: 3,
      row: { tid: String(tid), bid: String(tid % 2), tbalance: this.#moved(`t${tid}`, delta) },
    };
  }

  #branch(bid: number, delta: number): LawChange {
    return { op: "put", mirrorId: 1, row: { bid: String(bid), bbalance: this.#moved(`b${bid}`, delta) } };
  }
}

type Break = (compiled: CompiledView) => CompiledView;

const breaks: Readonly<Record<string, Break>> = {
  "a term is missing": (compiled) => ({ ...compiled, terms: compiled.terms.slice(1) }),
  "a term runs on the wrong side of the write": (compiled) => ({
    ...compiled,
    terms: compiled.terms.map((term, i) =>
      i === 0 ? { ...term, place: term.place === "before" ? "after" : "before" } : term,
    ),
  }),
  "the old rows stay": (compiled) => ({
    ...compiled,
    terms: compiled.terms.map((term) => ({
      ...term,
      sql: term.sql
        .replaceAll('select "_millrace_w"', 'select abs("_millrace_w") as "_millrace_w"')
        .replaceAll('sum("_millrace_w")', 'sum(abs("_millrace_w"))'),
    })),
  }),
  "change rows are not written": (compiled) =>
    merging(compiled, (sql) => sql.replace(/insert into millrace[\s\S]*$/, "select 1 from changed")),
};

/** With other merges, be it of what was gathered or of what one term finds. */
function merging(compiled: CompiledView, change: (sql: string) => string): CompiledView {
  const { merge, mergeRows } = compiled;
  return {
    ...compiled,
    merge: (batch) => change(merge(batch)),
    ...(mergeRows && { mergeRows: (batch: string, rows: string) => change(mergeRows(batch, rows)) }),
  };
}

test("the law notices a broken term, a wrong place, a lost retraction and lost change rows", async () => {
  const mirrors = makeTables(seededRandom(5));
  const text = "select x.id, y.id as other, x.t from t0 x join t0 y on x.a = y.a";
  await withDatabase(async (client) => {
    for (const [about, broken] of Object.entries({ "nothing is broken": (same: CompiledView) => same, ...breaks })) {
      const random = seededRandom(5);
      const driver = await LawDriver.create(client, mirrors);
      const compiled = await driver.define(definition("v", text), broken);
      const history = async () => {
        for (let i = 0; i < 6; i++) await driver.batch(makeBatch(random, mirrors, 30));
      };
      if (broken === Object.values(breaks).find((one) => one === broken)) await assert.rejects(history, /./, about);
      else await history();
      await client.query("rollback");
      await driver.drop(compiled);
    }
  });
});

const copiesBroken: Readonly<Record<string, readonly [text: string, broken: Break]>> = {
  "a copy stays": [
    "select f from t3",
    (compiled) => merging(compiled, (sql) => sql.replace(/(v\."_millrace_copy" > c\."_millrace_stands")/, "$1 + 1")),
  ],
  "what one term finds is left out": [
    "select f from t3",
    (compiled) => ({
      ...compiled,
      terms: compiled.terms.map((term) => ({ ...term, rows: `${term.rows} limit 0` })),
    }),
  ],
  "copies are not numbered": [
    "select o.f from t0 o left join t3 r on r.a = o.a",
    (compiled) => ({
      ...compiled,
      recompute: compiled.recompute.map((sql) =>
        sql.replace("select h.*, row_number()", "select distinct h.*, rank()"),
      ),
    }),
  ],
  "what is equal is one row": [
    "select count(*) as n from t3 group by a",
    (compiled) => ({ ...compiled, publicView: compiled.publicView.replace("as select", "as select distinct") }),
  ],
};

test("the law notices equal rows that are lost, or too many", async () => {
  const mirrors = makeTables(seededRandom(5));
  await withDatabase(async (client) => {
    for (const [about, [text, broken]] of Object.entries(copiesBroken)) {
      const history = async (change: Break) => {
        const random = seededRandom(6);
        const driver = await LawDriver.create(client, mirrors);
        await driver.batch(makeBatch(random, mirrors, 30));
        const compiled = compileViewSync({ view: definition("v", text), mirrors, version: 1 });
        try {
          await driver.define(definition("v", text), change);
          for (let i = 0; i < 6; i++) await driver.batch(makeBatch(random, mirrors, 30));
        } finally {
          await client.query("rollback");
          await driver.drop(compiled);
        }
      };
      await history((same) => same);
      await assert.rejects(history(broken), assert.AssertionError, about);
    }
  });
});

test("a value that is only written otherwise is a change", async () => {
  const column = (name: string, storeType: string, nullable: boolean) => ({
    ...{ name, storeType, nullable },
    sourceType: storeType,
    carriedAsText: false,
  });
  const columns = [
    column("id", "integer", false),
    column("n", "numeric", true),
    column("x", "double precision", true),
    column("iv", "interval", true),
    column("jb", "jsonb", true),
    column("j", "json", true),
  ];
  const shape = {
    source: "shop",
    schema: "public",
    table: "s",
    topic: "shop.public.s",
    columns,
    key: ["id"],
    appendOnly: false,
  };
  const spellings = {
    n: ["1.5", "1.50"],
    x: ["0", "-0"],
    iv: ["P30D", "P1M"],
    jb: ['{"a": 1.0}', '{"a": 1.00}'],
    j: ['{"a":1}', '{"a": 1}'],
  };
  await withDatabase(async (client) => {
    const driver = await LawDriver.create(client, [{ id: 1, shape }]);
    await driver.define(definition("rows", "select * from s"));
    await driver.define(
      definition("described", "select id, x, iv, jb, count(*) as c from s group by id, x, iv, jb", ["id"]),
    );
    await driver.define(definition("keyed", "select n, x, iv, id from s", ["x", "n", "id", "iv"]));
    for (const [name, [first = "", second = ""]] of Object.entries(spellings)) {
      await driver.batch([{ op: "put", mirrorId: 1, row: { id: "1", [name]: first } }]);
      await driver.batch([{ op: "put", mirrorId: 1, row: { id: "1", [name]: second } }]);
      const { rows } = await client.query(`select ${name}::text as text from views.rows`);
      assert.deepEqual(rows, [{ text: second }]);
    }
  });
});

test("the row of the grouping set () is there before there are rows, and when they have gone", async () => {
  const random = seededRandom(5);
  const mirrors = makeTables(random);
  const keyless = mirrors.find(({ shape }) => shape.key === null);
  assert.ok(keyless);
  const queries = [
    "select t, grouping(t) as level, count(*) as n, sum(a) as s, avg(n) as m from t3 group by rollup (t) having count(*) < 3",
    "select k, grouping(k) as level, coalesce(k, -1) as label, count(*) as n, sum(v) as s from (select a as k, n as v from t3 union all select a, m from t0) u group by grouping sets ((), k)",
  ];
  await withDatabase(async (client) => {
    const driver = await LawDriver.create(client, mirrors);
    for (const [i, text] of queries.entries()) await driver.define(definition(`v${i}`, text));
    const rows = async () =>
      Promise.all([0, 1].map(async (i) => (await client.query(`select level, n, s from views.v${i}`)).rows));
    const none = [[{ level: 1, n: "0", s: null }], [{ level: 1, n: "0", s: null }]];
    assert.deepEqual(await rows(), none);
    await driver.batch(Array.from({ length: 5 }, () => makeBatch(random, [keyless], 20)).flat());
    assert.notDeepEqual(await rows(), none);
    await driver.batch([{ op: "truncate", mirrorId: keyless.id }]);
    assert.deepEqual(await rows(), none);
  });
});

test("a group that would have fewer rows than none stops the batch", async () => {
  const mirrors = makeTables(seededRandom(5));
  await withDatabase(async (client) => {
    const driver = await LawDriver.create(client, mirrors);
    for (const text of [
      "select a, count(*) as n from t3 group by a",
      "select count(*) as n from t3",
      "select id, a from t0",
      "select b from t3",
    ]) {
      const compiled = await driver.define(definition("v", text));
      const slots = compiled.publicColumns.map((name) => (name === "n" ? "-1" : "1")).join(", ");
      const rows = compiled.class === "linear" ? ", -1" : compiled.publicColumns.includes("n") ? "" : ", -1";
      await client.query(`insert into pg_temp."dv_v__1" values (${slots}${rows})`);
      await assert.rejects(client.query(compiled.merge("1")), { code: "23514", constraint: "rows_add_up" }, text);
      await driver.drop(compiled);
    }
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { MillraceError } from "../../base/errors.ts";
import { column, GroupFixture, refusalOf } from "../reader-fixture.ts";
import type { Filter, RowQuery, Selected, ViewsReader } from "../view-info.ts";
import { type Caller, operator } from "./caller.ts";

const orders = {
  columns: [
    column("id", "integer"),
    column("customer_id", "integer", true),
    column("team", "text", true),
    column("total", "numeric", true),
    column("follows", "integer", true),
    column("title", "text", true),
  ],
  key: ["id"],
};
const policy = "customer_id = claim('sub') or team = any(claims('org.teams'))";
const everything: RowQuery = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };
const row = (id: number, customer_id: number | null, team: string | null = null) => {
  return { id, customer_id, team, total: id * 10, follows: id + 1, title: `order ${id}` };
};

function bearer(claims: Record<string, unknown>): Caller {
  return { kind: "bearer", claims };
}

async function open(shown = policy): Promise<{ fixture: GroupFixture; reader: ViewsReader }> {
  const fixture = await GroupFixture.open();
  await fixture.createView("orders", { ...orders, policy: shown, reads: { graph: { from: "id", to: "follows" } } });
  await fixture.createView("customers", { columns: [column("id", "integer"), column("name", "text")], key: ["id"] });
  fixture.definitions = [
    { name: "orders", references: [{ name: "customer", view: "customers", on: [["customer_id", "id"]] }] },
    { name: "customers" },
  ];
  await fixture.commit("customers", {
    upsert: [
      { id: 7, name: "Ada" },
      { id: 8, name: "Ben" },
    ],
  });
  await fixture.commit("orders", { upsert: [row(1, 7), row(2, 8), row(3, 8, "red"), row(4, null, "blue")] });
  return { fixture, reader: fixture.reader() };
}

async function idsOf(reader: ViewsReader, query: Partial<RowQuery> = {}): Promise<number[]> {
  const { rows } = await reader.rows("orders", { ...everything, select: ["id"], ...query });
  return rows.map((text) => JSON.parse(text).id);
}

test("a caller is shown the rows that the policy lets its claims see, and nobody else's", async () => {
  const { fixture, reader } = await open();
  await using _ = fixture;
  const shown: readonly [Record<string, unknown>, number[]][] = [
    [{ sub: "7" }, [1]],
    [{ sub: 8 }, [2, 3]],
    [{ sub: "7", org: { teams: ["red", "green"] } }, [1, 3]],
    [{ org: { teams: "blue" } }, [4]],
    [{ "org.teams": ["blue"], org: { teams: ["red"] } }, [4]],
    [{}, []],
    [{ sub: null, org: null }, []],
    // What is no value of the column's type is nobody's.
    [{ sub: "7 or true" }, []],
    [{ sub: "' or true --" }, []],
    [{ sub: "99999999999999999999" }, []],
    [{ sub: ["7"] }, []],
    [{ sub: 2 ** 53 }, []],
    [{ sub: { toString: "7" } }, []],
    [{ sub: "7\0" }, []],
    [{ org: { teams: ["\ud800", "re\0d", 5, null, {}] } }, []],
    [{ __proto__: { sub: "7" } }, []],
  ];
  for (const [claims, ids] of shown) {
    assert.deepEqual(await idsOf(reader.as(bearer(claims))), ids, JSON.stringify(claims));
  }
  assert.deepEqual(await idsOf(reader.as(operator)), [1, 2, 3, 4]);
  // Who comes after others on the same connections is shown no more.
  const many = await Promise.all(
    Array.from({ length: 40 }, (_, i) => idsOf(reader.as(bearer({ sub: String(6 + (i % 4)) })))),
  );
  assert.deepEqual(
    many,
    Array.from({ length: 40 }, (_, i) => [[], [1], [2, 3], []][i % 4]),
  );
});

test("who asks as nobody is refused, and a token reads no view without a policy", async () => {
  const { fixture, reader } = await open();
  await using _ = fixture;
  const error: MillraceError = await refusalOf(
    reader.rows("orders", everything),
    "CALLER_UNKNOWN",
    /each caller other rows/,
  );
  assert.match(error.hint ?? "", /Authorization: Bearer/);
  await refusalOf(reader.as(bearer({ sub: "7" })).rows("customers", everything), "CALLER_REFUSED", /has no policy/);
  assert.equal((await reader.rows("customers", everything)).rows.length, 2);
});

/** Each way in which `ViewsReader` gives rows away, as a text of all that it answered. */
const ways: {
  readonly [Way in Exclude<keyof ViewsReader, (typeof notOfRows)[number]>]: (reader: ViewsReader) => Promise<string>;
} = {
  rows: async (reader) =>
    JSON.stringify([
      await reader.rows("orders", { ...everything, count: "planned" }),
      await reader.rows("orders", { ...everything, select: [{ aggregate: "count", of: null }] }),
      await reader.rows("orders", { ...everything, select: ["title", { aggregate: "sum", of: { column: "total" } }] }),
      await reader.rows("orders", {
        ...everything,
        order: [{ column: "total", descending: true, nulls: null }],
        limit: 1,
      }),
    ]),
  row: async (reader) => {
    const selects: (readonly Selected[] | null)[] = [null, ["title"]];
    const answers = [];
    for (const select of selects) {
      for (const id of ["1", "2", "3", "4"]) {
        for (let again = 0; again < 2; again++) answers.push((await reader.row("orders", [id], select)).row);
      }
    }
    return JSON.stringify(answers);
  },
  readAll: async (reader) =>
    JSON.stringify(
      await reader.readAll([
        { view: "orders", query: { ...everything, count: "estimated" } },
        { view: "orders", key: ["2"], select: null },
        { view: "orders", key: ["1"], select: ["title"] },
      ]),
    ),
  graph: async (reader) =>
    JSON.stringify([
      await reader.graph("orders", {
        kind: "reach",
        of: "1",
        direction: "out",
        labels: null,
        filter: null,
        hops: null,
        nodesMax: 100,
      }),
      await reader.graph("orders", {
        kind: "neighbours",
        of: "2",
        direction: "out",
        labels: null,
        filter: null,
        limit: 10,
        cursor: null,
      }),
      await reader.graph("orders", {
        kind: "path",
        from: "2",
        to: "4",
        direction: "out",
        labels: null,
        filter: null,
        by: "hops",
        hops: null,
        nodesMax: 100,
      }),
    ]),
  snapshot: async (reader) => JSON.stringify(await pagesOf((await reader.snapshot("orders", null)).pages)),
  changesSince: async (reader) =>
    JSON.stringify(await reader.changesSince("orders", { generation: 1, batch: 0 }, null)),
  changesSinceEach: async (reader) =>
    JSON.stringify(await reader.changesSinceEach("orders", { generation: 1, batch: 0 }, [null, titleIs("order 2")])),
  changesOf: async (reader) =>
    JSON.stringify(await pagesOf((await reader.changesOf("orders", { generation: 1, batch: 2 }, null)) ?? [])),
};

/** Members that show no row of a view. `query` is the shared role's, which has no right to views with a policy. */
const notOfRows = [
  ...([
    "as",
    "list",
    "info",
    "explain",
    "rowCache",
    "position",
    "onChange",
    "waitFor",
    "sourcesOf",
    "endsOfTopics",
  ] as const),
  ...(["query", "close"] as const),
] as const;

function titleIs(title: string): Filter {
  return { kind: "compare", column: "title", operator: "eq", values: [title], negated: false };
}

async function pagesOf<T>(pages: AsyncIterable<readonly T[]> | Iterable<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const page of pages) all.push(...page);
  return all;
}

/** What is in an answer that shows somebody else's rows than customer 7's, or counts them. */
const others = /order [234]|"total":"[234]0|:[34]\b|"total":4/;

test("no way of reading shows a caller a row of somebody else's, or how many there are", async () => {
  const { fixture, reader } = await open();
  await using _ = fixture;
  const known = [...Object.keys(ways), ...notOfRows].sort();
  const methods = Object.keys(Object.getOwnPropertyDescriptors(reader)).concat(
    Object.getOwnPropertyNames(Object.getPrototypeOf(reader)).filter((name) => name !== "constructor"),
  );
  assert.deepEqual([...new Set(methods)].sort(), known, "a new way of reading belongs to this test");
  for (const [way, read] of Object.entries(ways)) {
    await assert.rejects(async () => await read(reader), { code: "CALLER_UNKNOWN" }, way);
    assert.match(await read(reader.as(operator)), others, way);
    const own = await read(reader.as(bearer({ sub: "7" })));
    if (way !== "graph") assert.match(own, /order 1/, way);
    assert.doesNotMatch(own, others, way);
    // Rows that somebody else was shown meanwhile are in no memory.
    await read(reader.as(bearer({ sub: "8" })));
    assert.equal(await read(reader.as(bearer({ sub: "7" }))), own, way);
  }
});

test("a canary: with a policy that lets everything through, each way of reading is seen to show it", async () => {
  const { fixture, reader } = await open("true");
  await using _ = fixture;
  for (const [way, read] of Object.entries(ways))
    assert.match(await read(reader.as(bearer({ sub: "7" }))), others, way);
});

test("rows of a view with a policy stand inside others' for those alone who are shown them", async () => {
  const { fixture, reader } = await open();
  await using _ = fixture;
  await fixture.createView("lines", {
    columns: [column("id", "integer"), column("order_id", "integer")],
    key: ["id"],
    policy: "true",
  });
  fixture.definitions = [
    ...fixture.definitions,
    { name: "lines", references: [{ name: "order", view: "orders", on: [["order_id", "id"]] }] },
  ];
  await fixture.commit("lines", { upsert: [1, 2, 3].map((id) => ({ id, order_id: id })) });
  const embedded = (relation: string, more: object = {}): Selected => ({
    ...{ relation, inner: false, select: ["title"], filter: null, order: [], limit: null, offset: 0 },
    ...more,
  });
  const read = async (select: readonly Selected[], more: Partial<RowQuery> = {}) => {
    const answer = await reader.as(bearer({ sub: "7" })).rows("lines", { ...everything, select, ...more });
    return answer.rows.map((text) => JSON.parse(text));
  };
  const none = { id: 2, order: null };
  assert.deepEqual(await read(["id", embedded("order")]), [
    { id: 1, order: { title: "order 1" } },
    none,
    { id: 3, order: null },
  ]);
  assert.deepEqual(await read(["id", embedded("order", { inner: true, select: [] })]), [{ id: 1 }]);
  assert.deepEqual(await read(["id", embedded("order", { absent: true, select: [] })]), [{ id: 2 }, { id: 3 }]);
  assert.deepEqual(await read([embedded("order", { spread: true })]), [
    { title: "order 1" },
    { title: null },
    { title: null },
  ]);
  const order = [{ relation: "order", column: "title", descending: true, nulls: "last" as const }];
  assert.deepEqual(await read(["id"], { order }), [{ id: 1 }, { id: 2 }, { id: 3 }]);
  // From the other side, and by key.
  const lines = embedded("lines", { select: ["id"] });
  const orders = await reader.as(bearer({ sub: "7" })).rows("orders", { ...everything, select: ["id", lines] });
  assert.deepEqual(
    orders.rows.map((text) => JSON.parse(text)),
    [{ id: 1, lines: [{ id: 1 }] }],
  );
  const one = await reader.as(bearer({ sub: "7" })).row("lines", ["2"], ["id", embedded("order")]);
  assert.deepEqual(JSON.parse(one.row?.body ?? ""), none);
  // A view without a policy lends no rows to a token, and one with a policy none to nobody.
  await refusalOf(
    read([embedded("order", { select: [embedded("customer", { select: ["name"] })] })]),
    "CALLER_REFUSED",
  );
  const from = { ...everything, select: ["name", embedded("orders")] };
  await refusalOf(reader.rows("customers", from), "CALLER_UNKNOWN");
  await refusalOf(Promise.resolve(reader.row("customers", ["7"], from.select)), "CALLER_UNKNOWN");
});

test("a row that the policy comes to let a caller see has come, and one that it lets it see no more has gone", async () => {
  const { fixture, reader } = await open();
  await using _ = fixture;
  const { position } = await reader.as(bearer({ sub: "7" })).snapshot("orders", null);
  await fixture.commit("orders", { upsert: [row(1, 8), row(2, 7), { ...row(3, 8), title: "other" }] });
  const changes = async (caller: Caller) => {
    const alone = await reader.as(caller).changesSince("orders", position, null);
    const [shared] = (await reader.changesSinceEach("orders", position, [null, null], null, [caller, operator])) ?? [];
    assert.deepEqual(shared, alone);
    assert.ok(alone.outcome === "changes");
    return alone.batches.flatMap((batch) => batch.changes.map(({ op, key, row: shown }) => [op, key, shown === null]));
  };
  assert.deepEqual(await changes(bearer({ sub: "7" })), [
    ["delete", '{"id":1}', true],
    ["upsert", '{"id":2}', false],
  ]);
  assert.deepEqual(await changes(bearer({ sub: "9" })), []);
  assert.deepEqual(await changes(bearer({ org: { teams: ["red"] } })), [["delete", '{"id":3}', true]]);
  const each = reader.changesSinceEach("orders", position, [null], null, [{ kind: "anyone" }]);
  await refusalOf(each, "CALLER_UNKNOWN");
});

test("words that only others' rows have are neither found nor suggested", async () => {
  await using fixture = await GroupFixture.open();
  const find = {
    search: { columns: [{ column: "title", weight: "A" as const }], language: "simple" },
    fuzzy: ["title"],
    geo: null,
  };
  await fixture.createView("orders", { ...orders, policy: "customer_id = claim('sub')", find });
  const titled = (id: number, customer: number, title: string) => ({ ...row(id, customer), title });
  await fixture.commit("orders", { upsert: [titled(1, 7, "green lanterns"), titled(2, 8, "golden ledger")] });
  const reader = fixture.reader();
  const search = (text: string, caller: Caller) =>
    reader.as(caller).rows("orders", {
      ...everything,
      select: ["id"],
      filter: { kind: "search", text, negated: false },
      find: { search: text, suggest: true },
    });
  const seven = bearer({ sub: "7" });
  assert.deepEqual((await search("green", seven)).rows, ['{"id":1}']);
  assert.deepEqual((await search("golden", seven)).rows, []);
  assert.deepEqual((await search("ledgre", operator)).suggestions, ["ledger"]);
  assert.deepEqual((await search("ledgre", seven)).suggestions, []);
  assert.deepEqual((await search("lantrens", seven)).suggestions, ["lanterns"]);
  const similar: Filter = {
    kind: "similar",
    column: "title",
    text: "golden ledger",
    threshold: 0.3,
    part: false,
    negated: false,
  };
  assert.deepEqual((await reader.as(seven).rows("orders", { ...everything, filter: similar })).rows, []);
});

test("a policy that does not fit the view's columns shows nobody anything, and says why", async () => {
  await using fixture = await GroupFixture.open();
  for (const [name, wrong, message] of [
    ["gone", "tenant = claim('tenant')", /there is no column "tenant"/],
    ["unfit", "customer_id = title", /operator does not exist: integer = text/],
  ] as const) {
    await fixture.createView(name, { ...orders, policy: wrong });
    const reader = fixture.reader();
    const error = await refusalOf(reader.as(bearer({ sub: "7" })).rows(name, everything), "VIEW_FAILED", message);
    assert.equal(error.details.code, "VIEW_POLICY_INVALID");
    await refusalOf(reader.rows(name, everything), "CALLER_UNKNOWN");
    assert.deepEqual((await reader.as(operator).rows(name, everything)).rows, []);
  }
});

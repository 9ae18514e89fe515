/** What views with windows that end are compiled to, and what is said where a window cannot be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../../base/errors.ts";
import { lateView } from "../../catalog/define/window-option.ts";
import { sql, topic, type ViewOptions, view } from "../../catalog/definitions.ts";
import { topicTable } from "../../catalog/topic-table.ts";
import { compileViewSync, loadParser } from "../compile.ts";
import type { MirrorBinding } from "../compiled-view.ts";
import { table } from "./compile-fixture.ts";

await loadParser();

const schema = {
  type: "object",
  properties: {
    id: { type: "integer" },
    who: { type: "string" },
    at: { type: "string", format: "date-time" },
    until: { type: "string", format: "date-time" },
  },
} as const;
const ofTopic = (id: number, shape: ReturnType<typeof topicTable>): MirrorBinding[] => (shape ? [{ id, shape }] : []);
const mirrors = [
  ...ofTopic(1, topicTable(topic("orders", { schema, watermark: { time: "at", lateness: "10s" } }))),
  ...ofTopic(2, topicTable(topic("plain", { schema }))),
  ...ofTopic(3, topicTable(topic("other", { schema, watermark: { time: "at" } }))),
  table(4, "customers", ["id integer", "name text?", "seen timestamptz?"], ["id"]),
];

const end = "date_bin('1 minute', at, '2000-01-01') + interval '1 minute'";

function defined(text: string, options: ViewOptions = {}) {
  return view("v", { ...sql``, text }, { window: { ends: "ends" }, emit: "final", ...options });
}

function compile(text: string, options: ViewOptions = {}) {
  return compileViewSync({ view: defined(text, options), mirrors, version: 1 });
}

function refused(text: string, says: RegExp, options: ViewOptions = {}): void {
  assert.throws(
    () => compile(text, options),
    (error) => {
      assert.ok(MillraceError.is(error), String(error));
      assert.equal(error.code, "VIEW_WINDOW_INVALID", error.message);
      assert.match(`${error.message}\n${error.hint}`, says);
      return true;
    },
    text,
  );
}

test("a window is traced through groups, aliases, subqueries and WITH, in every class that is kept with each change", () => {
  const cases: readonly (readonly [is: string, query: string])[] = [
    ["additive", `select ${end} as ends, count(*) as n from topics.orders group by 1`],
    [
      "additive",
      `select date_trunc('day', at) + interval '1 day' as ends, count(*) n from topics.orders group by date_trunc('day', at)`,
    ],
    [
      "additive",
      `with o as (select who, ${end} as ends from topics.orders where id > 3) select ends, who, count(*) n from o group by 1, 2`,
    ],
    [
      "additive",
      `select s.ends, sum(s.id) n from (select *, ${end} as ends from topics.public.orders) s group by s.ends`,
    ],
    ["linear", "select id, topics.orders.at + interval '1 hour' as ends from topics.orders"],
    ["linear", "select o.x, o.y as ends from topics.orders as o (x, b, y) where false"],
    ["keyed", `select ${end} as ends, max(id) as n from topics.orders o group by 1`],
    ["keyed", `select distinct on (${end}) ${end} as ends, id from topics.orders order by 1, id`],
    ["keyed", `select ${end} as ends, id, rank() over (partition by ${end} order by id) as r from topics.orders`],
    [
      "additive",
      "select date_bin('1 day', at at time zone 'Europe/Berlin', '2000-01-01') + interval '1 day' as ends, count(*) n from topics.orders group by 1",
    ],
  ];
  for (const [is, query] of cases) {
    const compiled = compile(query.replace("o.y as ends", "o.y as ends"));
    assert.equal(compiled.class, is, query);
    assert.deepEqual(compiled.clock?.topics, ["orders"], query);
    assert.deepEqual(compiled.clock?.flips, [], query);
    assert.match(compiled.mirrorIndexes.map(({ columns }) => columns.join()).join(" "), /\bat\b|_time/, query);
  }
});

test("without final rows it asks no clock, and may read what it likes beside the topic", () => {
  const query = `select ${end} as ends, c.name, count(*) n from topics.orders o join shop.customers c on c.id = o.id group by 1, 2`;
  const compiled = compile(query, { emit: "updates" });
  assert.equal(compiled.clock, undefined);
  assert.match(compiled.query, /"_watermark"\) is not true/);
});

test("the view of late events has the record, and the end of the window that it came too late for", () => {
  const [late] = lateView(
    defined(`select ${end} as ends, max(id) n from topics.orders group by 1`, {
      window: { ends: "ends", grace: "5m" },
    }),
  );
  assert.ok(late);
  const compiled = compileViewSync({ view: late, mirrors, version: 1 });
  assert.equal(compiled.name, "v.late");
  assert.equal(compiled.class, "linear");
  assert.deepEqual(compiled.key, ["_partition", "_offset"]);
  assert.ok(["_watermark", "_value", "who", "_ends"].every((name) => compiled.publicColumns.includes(name)));
  assert.match(compiled.query, /interval '300000 ms' <= "_watermark"/);
});

test("late events of a view with a policy are shown to nobody who is shown rows by policies", () => {
  const query = `select ${end} as ends, who, count(*) as n from topics.orders group by 1, 2`;
  const [late] = lateView(defined(query, { policy: "who = claim('sub')" }));
  assert.ok(late);
  assert.equal(late.policy, "false");
  assert.equal(compileViewSync({ view: late, mirrors, version: 1 }).policy?.text, "false");
});

test("another grace is another view, and so is another way to emit", () => {
  const query = `select ${end} as ends, count(*) as n from topics.orders group by 1`;
  const hashes = [{}, { window: { ends: "ends", grace: "1m" } }, { emit: "updates" as const }].map(
    (options) => compile(query, options).hash,
  );
  assert.equal(new Set(hashes).size, 3);
});

test("where a window does not end by the time of one topic's events it is refused with what would help", () => {
  refused("select id, at from topics.orders", /"ends", which is no column of it/);
  refused(`select ${end} as "end", count(*) n from topics.orders group by 1`, /Did you mean "end"/);
  refused("select who, max(at) as ends from topics.orders group by 1", /one record of one topic/);
  refused(`select ${end} as ends, id from topics.orders where until > now()`, /filters by now\(\)/);
  refused("select id, now() as ends from topics.orders", /kept with each change/, { emit: "updates" });
  refused("select id, timestamptz '2026-01-01' as ends from topics.orders", /one record of one topic/);
  refused(
    "select o.id, greatest(o.at, p.at) as ends from topics.orders o join topics.other p using (id)",
    /one record/,
  );
  refused(`select ${end} as ends, rank() over (order by id) r from topics.orders`, /one record of one topic/);
  refused(`select ${end} as ends from topics.orders limit 3`, /one record|kept with/);
  refused(
    `select ${end} as ends, count(*) n from topics.plain group by 1`,
    /which has no watermark[\s\S]*watermark: \{ time: "at"/,
  );
  refused("select seen as ends, id from shop.customers", /captured table has none/);
  refused("select id as ends from topics.orders", /not known to be a date/);
  refused(
    `select ${end} as ends from topics.orders union all select ${end} from topics.orders`,
    /names the topic more than once/,
  );
  refused(
    "select o.id, o.at as ends from topics.orders o join shop.customers c on c.id = o.id",
    /reads more than topic "orders"[\s\S]*view over it/,
  );
  refused(
    `with o as (select *, ${end} as ends from topics.orders) select a.ends, count(*) n from o a join o b on a.id = b.id group by 1`,
    /reads more than topic "orders", once/,
  );
  refused(
    `select ${end} as ends from topics.orders o where exists (select from shop.customers c where c.id = o.id)`,
    /reads more than/,
  );
});

test("explain says how the window ends, and where late events are", () => {
  const { explanation } = compile(`select ${end} as ends, count(*) as n from topics.orders group by 1`, {
    window: { ends: "ends", grace: "5m" },
  });
  assert.match(explanation, /^window: ends by ends and 5m of grace; rows are shown when .* in views."v.late"$/m);
});

test("a final window whose end is no known way from a column of time is refused", () => {
  assert.throws(
    () => compile("select id, case when id > 3 then at else until end as ends from topics.orders"),
    (error) => {
      assert.ok(MillraceError.is(error));
      assert.doesNotMatch(error.hint ?? "", /refresh/);
      return (
        error.code === "VIEW_UNSUPPORTED" && /how far it is from a column of time is not known/.test(error.message)
      );
    },
  );
});

test("options that say no window are refused where they are given", () => {
  const cases: readonly (readonly [options: unknown, says: RegExp])[] = [
    [{ emit: "final" }, /has no window/],
    [{ emit: "once", window: { ends: "e" } }, /emit is "once"/],
    [{ window: "ends" }, /names no column/],
    [{ window: { ends: 3 } }, /names no column/],
    [{ window: { ends: "e", grace: 5 } }, /grace/],
    [{ window: { ends: "e", grace: "-1s" } }, /grace/],
    [{ window: { ends: "e", lateness: "1s" } }, /"lateness", which is none/],
  ];
  for (const [options, says] of cases) {
    assert.throws(() => view("v", sql`select 1`, options as ViewOptions), says);
  }
  assert.throws(() => view("v".repeat(43), sql`select 1`, { window: { ends: "e" } }), /too long/);
  for (const idle of ["10ms", "soon", ""]) {
    assert.throws(() => topic("t", { watermark: { time: "at", idle } }), /idle/);
  }
});

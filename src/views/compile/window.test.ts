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

const hops = `generate_series(${end}, ${end} + interval '4 minutes', interval '1 minute')`;

test("windows that a function of FROM makes of a record are traced through groups, aliases, subqueries and WITH", () => {
  const cases: readonly (readonly [query: string, key: string | undefined])[] = [
    [`select w as ends, count(*) n from topics.orders o cross join lateral ${hops} w group by w`, "ends"],
    [`select w as ends, count(*) n from topics.orders o, ${hops} w group by w`, "ends"],
    [
      `select "W".e as ends, who, sum(o.id) from (topics.orders o cross join ${hops} as "W" (e)) where id > 3 or who = 'x' group by 1, 2`,
      "ends,who",
    ],
    [
      `with p as (select who, g.ends from topics.public.orders, ${hops} as g (ends) where who is distinct from 'x' -- all but one
      ) select p.ends, max(who) from p group by p.ends having count(*) > 1`,
      "ends",
    ],
    [
      `select date_bin('1 minute', b.x, '2000-01-01') + k * interval '1 minute' as ends, count(*) n from generate_series(1, 5) k
      cross join topics.orders as b (p, o, t, y, h, v, pr, wm, "order", who, x) where b.order > 3 or b.order is null group by 1`,
      "ends",
    ],
    [
      "select at + k as ends, o.where, count(*) as from from unnest(array[interval '1 minute', '1 hour']) k, topics.orders as o (a, b, c, d, e, f, g, h, \"where\", who, at) where o.where > 1 group by 1, o.where",
      "ends,where",
    ],
    [
      "select s._partition, s._offset, at + k as ends from (select * from topics.orders o cross join unnest(array[interval '1 minute', '1 hour']) k) s where s.k > '2 minutes'",
      undefined,
    ],
  ];
  for (const [query, key] of cases) {
    const compiled = compile(query);
    assert.equal(compiled.class, "keyed", query);
    assert.equal(compiled.key?.join(), key, query);
    assert.deepEqual(compiled.clock?.topics, ["orders"], query);
    assert.match(compiled.mirrorIndexes.map(({ columns }) => columns.join()).join(" "), /\bat\b/, query);
    assert.match(compiled.query, /is not true\) and \(.* <= \(select millrace.watermark\('orders'\)\)\)/, query);
  }
});

test("without final rows the windows of a record that are over are left out alone", () => {
  const query = `select w as ends, c.name, count(*) n from topics.orders o join shop.customers c on c.id = o.id, ${hops} w where c.name <> 'x' or w is null group by 1, 2`;
  const compiled = compile(query, { emit: "updates" });
  assert.equal(compiled.clock, undefined);
  assert.match(
    compiled.query,
    /where \(\("w"\."w" <= "o"\."_watermark"\) is not true\) and \( c\.name <> 'x' or w is null\) group by/,
  );
  for (const is of ["is", "is not"]) {
    const joined = `select w as ends, o.id from (shop.customers c join shop.customers d on c.id ${is} distinct from d.id cross join topics.orders o), ${hops} w`;
    assert.match(
      compile(joined, { emit: "updates" }).query,
      / w where \(\("w"\."w" <= "o"\."_watermark"\) is not true\)$/,
    );
  }
});

test("an event that is late for several windows is a row for each of them", () => {
  const cases: readonly (readonly [query: string, key: string])[] = [
    [`select w as ends, max(id) n from topics.orders o, ${hops} w group by 1`, "_partition,_offset,_ends"],
    [
      "select at + k * interval '1 minute' as ends, count(*) n from topics.orders, generate_series(1, 5) k group by 1",
      "_partition,_offset,_window",
    ],
  ];
  for (const [query, key] of cases) {
    const [late] = lateView(defined(query, { window: { ends: "ends", grace: "5m" } }));
    assert.ok(late);
    const compiled = compileViewSync({ view: late, mirrors, version: 1 });
    assert.equal(compiled.key?.join(), key);
    assert.ok(["_watermark", "_value", "who", "_ends"].every((name) => compiled.publicColumns.includes(name)));
    assert.match(compiled.query, /interval '300000 ms' <= t\."_watermark"/);
  }
});

test("windows that a function does not make of one topic's record beside it are refused", () => {
  refused(
    `select w as ends, o.id from topics.orders o left join lateral ${hops} w on true`,
    /one record[\s\S]*by cross join/,
  );
  refused(
    `select w as ends, o.id from (topics.orders o left join shop.customers c on c.id = o.id) cross join lateral ${hops} w`,
    /in an outer join/,
    { emit: "updates" },
  );
  refused(
    `select w as ends, count(*) n from (select * from topics.orders) o cross join lateral ${hops} w group by 1`,
    /does not stand beside topic "orders"[\s\S]*one FROM/,
  );
  refused(
    `select x.w as ends, count(*) n from topics.orders o cross join lateral (select w from ${hops} w) x group by 1`,
    /does not stand beside/,
  );
  refused(
    "select o.at + k * interval '1 minute' as ends, o.id from topics.orders o cross join (values (1), (2)) v (k)",
    /one record[\s\S]*generate_series/,
  );
  refused(
    "select w as ends, o.id from topics.orders o join topics.other p using (id), generate_series(o.at, p.at, interval '1 day') w",
    /one record/,
  );
  refused(
    "select e as ends, o.id from topics.orders o, unnest(array[o.id]) n, generate_series(o.at, o.at + n * interval '1 day', interval '1 day') e",
    /one record/,
  );
  for (const made of [
    "generate_series(o.at, o.until, interval '1 day')",
    "generate_series(o.at, o.at + o.id * interval '1 day', interval '1 day')",
    "unnest(array[o.at, o.until])",
  ]) {
    assert.throws(
      () => compile(`select w as ends, count(*) n from topics.orders o, ${made} w group by 1`),
      (error) =>
        MillraceError.is(error) &&
        error.code === "VIEW_UNSUPPORTED" &&
        /how far it is from a column of time is not known/.test(error.message),
      made,
    );
    compile(`select w as ends, count(*) n from topics.orders o, ${made} w group by 1`, { emit: "updates" });
  }
});

const session = { gap: "30m", by: "who" };
const inSessions: ViewOptions = { window: { ends: "ends", grace: "5m", session } };

test("a topic has the begin and the end of each event's session where a view has sessions", () => {
  for (const query of [
    "select who, _begins as began, _ends as ends, count(*) n from topics.orders group by 1, 2, 3",
    "select _ends as ends, o._begins::date, max(id) n from topics.orders o group by who, o._ends, o._begins",
    "with o as (select *, _ends - _begins as long from topics.public.orders) select who, long, _ends as ends from o",
    "select who, topics.orders._ends as ends from topics.orders where _begins > '2026-01-01'::timestamptz",
  ]) {
    const compiled = compile(query, inSessions);
    assert.equal(compiled.class, "keyed", query);
    assert.deepEqual(compiled.clock?.topics, ["orders"], query);
    const indexes = compiled.mirrorIndexes.map(({ columns }) => columns.join());
    assert.ok(indexes.includes("at") && indexes.includes("who"), query);
    assert.deepEqual(compiled.scans, [], query);
    assert.match(compiled.explanation, /again for each (orders\.|o\.)?who that/, query);
    assert.equal(compile(query, { ...inSessions, emit: "updates" }).clock, undefined, query);
  }
  const { explanation } = compile("select who, _ends as ends from topics.orders", inSessions);
  assert.match(explanation, /^window: sessions by who with gaps of 30m; ends by ends and 5m of grace; rows are shown/m);
});

test("an event is late for its session by its own time, and other gaps are another view", () => {
  const query = "select who, _ends as ends, count(*) n from topics.orders group by 1, 2";
  const [late] = lateView(defined(query, inSessions));
  assert.ok(late);
  const compiled = compileViewSync({ view: late, mirrors, version: 1 });
  assert.equal(compiled.class, "linear");
  assert.match(compiled.query, /"at" as "_ends" .* where \("at" \+ interval '300000 ms' < "_watermark"\)/);
  const others = [session, { ...session, gap: "31m" }, { ...session, by: ["who", "id"] }];
  const hashes = others.map((one) => compile(query, { window: { ends: "ends", session: one } }).hash);
  assert.equal(new Set(hashes).size, others.length);
});

test("sessions that are not told by the topic's columns are refused with what would help", () => {
  const query = "select who, _ends as ends, count(*) n from topics.orders group by 1, 2";
  const by = (columns: string | string[]): ViewOptions => ({
    window: { ends: "ends", session: { gap: "1m", by: columns } },
  });
  refused(query, /by "whom", which is no column of it[\s\S]*Did you mean "who"/, by("whom"));
  refused(query, /by "_ends"/, by(["who", "_ends"]));
  refused("select who, at as ends from topics.orders", /does not end by the column _ends/, inSessions);
  refused("select who, _ends + interval '1 minute' as ends from topics.orders", /column _ends/, inSessions);
  refused(`select who, w as ends from topics.orders, ${hops} w`, /column _ends/, inSessions);
  refused("select who, max(_ends) as ends from topics.orders group by 1", /one record of one topic/, inSessions);
  refused("select who, _ends as ends from topics.plain", /has no watermark/, inSessions);
  refused(
    "select o.who, o._ends as ends from topics.orders o join shop.customers c on c.id = o.id",
    /reads more than topic "orders"/,
    inSessions,
  );
  const timed = topicTable(topic("bare", { watermark: { time: "at" } }));
  const bare = view("v", sql`select _key, _ends as ends from topics.bare`, {
    window: { ends: "ends", session: { gap: "1m", by: "_key" } },
  });
  assert.throws(
    () => compileViewSync({ view: bare, mirrors: timed === null ? [] : [{ id: 9, shape: timed }], version: 1 }),
    (error) =>
      MillraceError.is(error) &&
      /whose time "at" there is no column/.test(error.message) &&
      /date-time/.test(error.hint ?? ""),
  );
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
    [{ window: { ends: "e", session: "30m" } }, /have no gap/],
    [{ window: { ends: "e", session: { gap: "30m" } } }, /nothing that has them/],
    [{ window: { ends: "e", session: { gap: "30m", by: [] } } }, /no list of columns/],
    [{ window: { ends: "e", session: { gap: "30m", by: ["a", 3] } } }, /no list of columns/],
    [{ window: { ends: "e", session: { gap: "30m", by: ["a", "a"] } } }, /no list of columns/],
    [{ window: { ends: "e", session: { gap: "0s", by: "a" } } }, /gap between its sessions is no time/],
    [{ window: { ends: "e", session: { gap: 30, by: "a" } } }, /gap/],
    [{ window: { ends: "e", session: { gap: "1m", by: "a", ends: "b" } } }, /"ends", which is none/],
  ];
  for (const [options, says] of cases) {
    assert.throws(() => view("v", sql`select 1`, options as ViewOptions), says);
  }
  assert.throws(() => view("v".repeat(43), sql`select 1`, { window: { ends: "e" } }), /too long/);
  for (const idle of ["10ms", "soon", ""]) {
    assert.throws(() => topic("t", { watermark: { time: "at", idle } }), /idle/);
  }
});

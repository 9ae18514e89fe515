/** Where a view may ask what time it is, what it is compiled to, and what is said where it may not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../../base/errors.ts";
import { sql, view } from "../../catalog/definitions.ts";
import { compileViewSync, loadParser } from "../compile.ts";
import type { MirrorBinding } from "../compiled-view.ts";

await loadParser();

function mirror(id: number, table: string, columns: Readonly<Record<string, string>>): MirrorBinding {
  const shaped = Object.entries(columns).map(([name, storeType]) => ({
    ...{ name, storeType, sourceType: storeType },
    nullable: name !== "id",
    carriedAsText: false,
  }));
  const topic = `shop.public.${table}`;
  return {
    id,
    shape: { source: "shop", schema: "public", table, topic, columns: shaped, key: ["id"], appendOnly: false },
  };
}

const mirrors = [
  mirror(1, "events", {
    id: "integer",
    kind: "text",
    at: "timestamp with time zone",
    local: "timestamp without time zone",
    day: "date",
    seconds: "integer",
  }),
  mirror(2, "kinds", { id: "integer", kind: "text", until: "timestamp with time zone" }),
];

function compile(text: string, refreshMs?: number) {
  const defined = view("v", { ...sql``, text });
  return compileViewSync({
    view: refreshMs === undefined ? defined : { ...defined, refreshMs },
    mirrors,
    version: 1,
  });
}

test("a condition that compares a column with the clock is kept by an index over the column", () => {
  const cases: readonly (readonly [condition: string, columns: readonly string[]])[] = [
    ["at > now() - interval '1 hour'", ["at"]],
    ["pg_catalog.now() < at", ["at"]],
    ["interval '1 day' + now() >= at", ["at"]],
    ["at + interval '1 hour' > current_timestamp", ["at"]],
    ["local < localtimestamp", ["local"]],
    ["day >= current_date - 7", ["day"]],
    ["day > now()::date", ["day"]],
    ["at >= date_trunc('day', now()) - '1 day'::interval", ["at"]],
    ["at between now() - interval '1 day' and statement_timestamp()", ["at", "at"]],
    ["transaction_timestamp() between local and at", ["local", "at"]],
    ["at between '2024-01-01' and now()", ["at"]],
  ];
  for (const [condition, columns] of cases) {
    const compiled = compile(`select id, kind from shop.events where kind <> 'x' and ${condition}`);
    assert.equal(compiled.class, "linear");
    const indexed = compiled.mirrorIndexes.flatMap((index) => index.columns);
    assert.deepEqual(indexed.sort(), [...new Set(columns)].sort(), condition);
    assert.equal(compiled.clock?.terms.length, 1, condition);
    assert.match(compiled.explanation, /rows come and go by time:\n {2}.*: found by an index of shop\.events on \(/);
    assert.doesNotMatch(compiled.query, /current_|local(?:timestamp)|(?<!millrace\.)now\(\)|_timestamp\(\)/, condition);
  }
});

test("a value that is computed from columns of one table is looked at with each minute, and explain says so", () => {
  const compiled = compile("select id from shop.events where at + seconds * interval '1 second' > now()");
  assert.deepEqual(compiled.mirrorIndexes, []);
  assert.match(compiled.explanation, /shop\.events is read whole, once a minute/);
  assert.doesNotMatch(compiled.clock?.terms[0] ?? "", /between/);
});

test("each table that is filtered by time has a term, which asks the tables behind it by the clock of before", () => {
  const compiled = compile(
    "select e.id, k.id as k from shop.events e join shop.kinds k on k.kind = e.kind and k.until > now() where e.at > now()",
  );
  const terms = compiled.clock?.terms ?? [];
  assert.equal(terms.length, 2);
  const joined = terms.map((term) => [/join[\s\S]*/.exec(term)?.[0].match(/now(?:_before)?\(\)/g)].flat());
  assert.deepEqual(joined, [["now()"], ["now_before()"]]);
  assert.equal(compile("select id from shop.events").clock, undefined);
});

test("a query by key notes the keys that time reaches, whatever it lets in of the other tables", () => {
  const compiled = compile(
    "select k.id, max(e.at) as last from shop.kinds k left join (select * from shop.events where at > now() - interval '1 hour') e on e.kind = k.kind where k.until > now() group by k.id",
  );
  assert.equal(compiled.class, "keyed");
  for (const term of compiled.clock?.terms ?? []) assert.doesNotMatch(term, /join[\s\S]*millrace\.now/);
  assert.deepEqual(
    compiled.mirrorIndexes.filter(({ columns }) => /at|until/.test(columns.join())).map(({ columns }) => columns),
    [["at"], ["until"]],
  );
});

test("elsewhere the clock is refused, with the way out", () => {
  const filtered = /Rows can be filtered by time/;
  const cases: readonly (readonly [text: string, message: RegExp, hint: RegExp])[] = [
    ["select id, now() as n from shop.events", /function now/, filtered],
    ["select id, current_timestamp as n from shop.events", /current date/, filtered],
    ["select id from shop.events where at > now() or kind = 'a'", /function now/, filtered],
    ["select id from shop.events where not at > now()", /function now/, filtered],
    ["select id from shop.events where at = now()", /function now/, filtered],
    ["select id from shop.events where at not between now() and now()", /function now/, filtered],
    ["select id from shop.events where at > current_timestamp(0)", /current date/, filtered],
    ["select kind, count(*) filter (where at > now()) as n from shop.events group by kind", /function now/, filtered],
    ["select kind, max(at) as last from shop.events group by kind having max(at) > now()", /function now/, filtered],
    [
      "select e.id, k.id as k from shop.events e left join shop.kinds k on k.kind = e.kind and k.until > now()",
      /function now/,
      filtered,
    ],
    ["select id from shop.events where at > other.now()", /other\.now/, filtered],
    ["select id from shop.events where at > other.date_trunc('day', now())", /not now\(\) and a constant/, filtered],
    ["select id from shop.events where day > now()::other.date", /not now\(\) and a constant/, filtered],
    ["select id from shop.events where at > clock_timestamp()", /clock_timestamp/, /store the value/],
    ["select id from shop.events where at > now() - seconds * interval '1 s'", /same for all rows/, /to the column/],
    ["select id from shop.events where at > now() - '1 hour'", /same for all rows/, /Write interval '1 hour'/],
    ["select id from shop.events where at > greatest(now(), '2024-01-01')", /not now\(\) and a constant/, filtered],
    ["select id from shop.events where now() > now() - interval '1 hour'", /not now\(\) and a constant/, filtered],
    ["select id from shop.events where timestamptz '2030-01-01' < now()", /columns of one table/, /Filter each table/],
    [
      "select e.id, k.id as k from shop.events e join shop.kinds k on k.kind = e.kind where greatest(e.at, k.until) > now()",
      /columns of one table/,
      /Filter each table/,
    ],
    [
      "select * from (select kind, max(at) as last from shop.events group by kind) g where last > now()",
      /columns of one table/,
      /before it is grouped/,
    ],
    [
      "select * from (select id, at, row_number() over (partition by kind order by id) as rn from shop.events) q where at > now()",
      /columns of one table/,
      /before it is grouped/,
    ],
    [
      "select k.id from shop.kinds k where exists (select from shop.events e where e.kind = k.kind and k.until > now())",
      /columns of one table/,
      /beside the tables of other queries/,
    ],
    ["select id from shop.events where kind > now()", /date or a timestamp/, /timestamptz/],
  ];
  for (const [text, message, hint] of cases) {
    assert.throws(
      () => compile(text),
      (error) => {
        assert.ok(MillraceError.is(error), String(error));
        assert.equal(error.code, "VIEW_UNSUPPORTED");
        assert.match(error.message, message, text);
        assert.match(error.hint ?? "", hint, text);
        return true;
      },
      text,
    );
  }
});

test("a view that is recomputed whole may ask the clock anywhere, and is due each time that it may be", () => {
  const compiled = compile("select id, now() - at as age, current_date as today from shop.events", 30_000);
  assert.equal(compiled.class, "whole");
  assert.equal(
    compiled.query,
    'select id, (select millrace.now()) - at as age, ((select millrace.now())::pg_catalog.date) as today from "shop"."events" as "events"',
  );
  assert.deepEqual(compiled.clock?.flips, ["((select millrace.now()) + interval '30000 ms')"]);
  assert.match(compiled.explanation, /every 30s, for it asks what time it is/);
  assert.match(
    compile("select id from shop.events order by at limit 3", 30_000).explanation,
    /only when something that it reads has changed/,
  );
});

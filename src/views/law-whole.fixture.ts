/** For tests: queries that are run again as a whole, one per feature, and generated ones. */
import type { Random } from "../base/random.ts";
import { quote } from "../catalog/definitions.ts";
import type { MirrorBinding } from "./compiled-view.ts";
import type { LawFeature } from "./law-features.fixture.ts";
import { chance, int, keysOf, makeFrom, number, pick, predicate, someOutputs, text } from "./law-pieces.fixture.ts";

/** What their definitions say of it. */
export const wholeRefreshMs = 1_000;

/** Over the tables of `features`. */
export const wholeFeatures: readonly LawFeature[] = [
  {
    about: "the first rows of a table",
    text: "select id, t, n from t0 order by n desc nulls last, id limit 5 offset 1",
  },
  { about: "the greatest of a table", text: "select max(n) as hi, min(t) as lo, count(distinct a) as kinds from t3" },
  {
    about: "ranks over all rows",
    text: "select id, rank() over (order by n) as place, sum(b) over (order by id) as run from t0",
  },
  {
    about: "shares of a total, of rows without a key",
    text: "select t, m / nullif(sum(m) over (), 0) as share from t3 where m > 0 and m < 1000",
  },
  {
    about: "a tree",
    text: "with recursive tree (id, root, depth) as (select id, id, 0 from t0 where a is null or a = id union all select o.id, r.root, r.depth + 1 from t0 o join tree r on o.a = r.id where r.depth < 8 and o.a <> o.id) select root, id, min(depth) as depth, count(*) as ways from tree group by root, id",
  },
  {
    about: "what can be reached, each once",
    text: "with recursive reached as (select id, a from t0 where f union select o.id, o.a from t0 o join reached r on o.id = r.a) select id, a from reached",
  },
  {
    about: "a tree in its order, without its circles",
    text: "with recursive t (id, up) as (select id, a from t0 where id < 3 union all select o.id, o.a from t0 o join t on o.a = t.id) search depth first by id set place cycle id set circle using path select id, up, circle, count(*) over (order by place) as n, path::text as path from t where not circle or up is not null",
  },
  {
    about: "the greatest of all groups",
    text: "select max(total) as hi, count(*) as n from (select a, sum(b) as total from t0 group by a) g",
  },
  {
    about: "many outer joins",
    text: "select o.id, y1.id as first, count(*) as n, max(y5.n) as last from t0 o left join t2 y1 on y1.id = o.a left join t2 y2 on y2.id = y1.a left join t2 y3 on y3.id = y2.a left join t2 y4 on y4.id = y3.a left join t2 y5 on y5.id = y4.a left join t2 y6 on y6.id = y5.a left join t2 y7 on y7.id = y6.a group by o.id, y1.id order by o.id, y1.id limit 100",
  },
];

export function makeWhole(
  random: Random,
  mirrors: readonly MirrorBinding[],
): { readonly text: string; readonly kind: "whole" } {
  return { text: pick(random, [firstRows, extremes, ranks, walk])(random, mirrors), kind: "whole" };
}

const withKey = (mirrors: readonly MirrorBinding[]) => mirrors.filter(({ shape }) => shape.key !== null);

function firstRows(random: Random, mirrors: readonly MirrorBinding[]): string {
  const { text: from, sources } = makeFrom(random, withKey(mirrors), 1 + random.below(2));
  const keys = keysOf(sources);
  const order = [
    `${number(random, sources)} ${pick(random, ["asc", "desc"])} nulls last`,
    ...keys.map((_, i) => `${i + 1}`),
  ];
  return `select ${[...keys, ...someOutputs(random, sources)].join(", ")} ${from} order by ${order.join(", ")} limit ${1 + random.below(6)}`;
}

function extremes(random: Random, mirrors: readonly MirrorBinding[]): string {
  const { text: from, sources } = makeFrom(random, mirrors, 1 + random.below(2));
  return `select max(${number(random, sources)}) as x, min(${text(random, sources)}) as y, count(distinct ${int(random, sources)}) as z ${from}`;
}

function ranks(random: Random, mirrors: readonly MirrorBinding[]): string {
  const { text: from, sources } = makeFrom(random, withKey(mirrors), 1);
  const [key = "1"] = keysOf(sources);
  const plain = key.split(" as ")[0];
  const call = pick(random, [
    `dense_rank() over (order by ${int(random, sources)})`,
    `count(*) over (order by ${plain} rows between 2 preceding and current row)`,
    `sum(${int(random, sources)}) over ()`,
  ]);
  return `select ${[...(chance(random, 0.7) ? keysOf(sources) : []), `${call} as v`, `${text(random, sources)} as t`].join(", ")} ${from}`;
}

/** From row to row of a table whose `a` names another of its rows. */
function walk(random: Random, mirrors: readonly MirrorBinding[]): string {
  const mirror = pick(
    random,
    withKey(mirrors).filter(({ shape }) => shape.key?.join() === "id"),
  );
  const table = `${quote(mirror.shape.source)}.${quote(mirror.shape.table)}`;
  const columns = mirror.shape.columns.map((column) => ({ name: column.name, type: column.storeType }));
  const source = { alias: "s", columns, key: mirror.shape.key };
  const start = `select s.id::bigint as id, 0 as depth from ${table} as s where ${predicate(random, [source])}`;
  const step = `select o.id::bigint, w.depth + 1 from ${table} as o join walk w on o.a = w.id where w.depth < ${1 + random.below(4)}`;
  const recursive = `with recursive walk as (${start} union${chance(random, 0.5) ? " all" : ""} ${step})`;
  return `${recursive} select ${pick(random, ["id, depth", "id, min(depth) as depth", "depth, count(*) as n"])} from walk`.replace(
    /(min\(depth\) as depth|count\(\*\) as n) from walk$/,
    (all, what) => `${all} group by ${what.startsWith("min") ? "id" : "depth"}`,
  );
}

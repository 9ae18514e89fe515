/** For tests: generated queries that are run again for the keys that a batch reaches. */
import type { Random } from "../base/random.ts";
import { quote } from "../catalog/definitions.ts";
import type { MirrorBinding } from "./compiled-view.ts";
import {
  chance,
  int,
  joinCondition,
  keysOrNone,
  makeFrom,
  mirrorReference,
  number,
  of,
  pick,
  predicate,
  type Source,
  shuffled,
  someOutputs,
  text,
} from "./law-pieces.fixture.ts";

/** Put together from pieces that have one answer. */
export function makeKeyed(
  random: Random,
  mirrors: readonly MirrorBinding[],
): { readonly text: string; readonly kind: "keyed" } {
  const make = pick(random, [
    outerJoins,
    subqueries,
    extremes,
    windows,
    setOperation,
    distinctOn,
    laterals,
    unionOfAll,
    groupingSets,
    groupsOfGroups,
  ]);
  return { text: make(random, mirrors), kind: "keyed" };
}

const withKey = (mirrors: readonly MirrorBinding[]) => mirrors.filter(({ shape }) => shape.key !== null);

/** A table with an alias, in the form in which the pieces of a query read it. */
function sourceOf(random: Random, mirrors: readonly MirrorBinding[], alias: string): Source & { named: string } {
  const mirror = pick(random, mirrors);
  const columns = mirror.shape.columns.map((column) => ({ name: column.name, type: column.storeType }));
  return { alias, columns, key: mirror.shape.key, named: `${mirrorReference(random, mirror)} as ${alias}` };
}

function outerJoins(random: Random, mirrors: readonly MirrorBinding[]): string {
  const sources = [sourceOf(random, withKey(mirrors), "r0")];
  let text = `from ${sources[0]?.named}`;
  for (let i = 1; i < 2 + random.below(3); i++) {
    const next = sourceOf(random, withKey(mirrors), `r${i}`);
    // A full join takes conditions of equality alone.
    const kind = pick(random, ["left", "left", "right", "full", "inner"]);
    const before = pick(random, sources);
    const on =
      kind === "full"
        ? `${before.alias}.a = ${next.alias}.${pick(random, ["a", "b"])}`
        : joinCondition(random, [before], next);
    text += ` ${kind} join ${next.named} on ${on}`;
    sources.push(next);
  }
  const filter = chance(random, 0.4) ? ` where ${predicate(random, sources)}` : "";
  if (chance(random, 0.5)) {
    // The key is what is left when columns are taken away from the last one on: in each order another one.
    const outputs = shuffled(random, [...keysOrNone(random, sources), ...someOutputs(random, sources)]);
    return `select ${outputs.join(", ")} ${text}${filter}`;
  }
  const group = pick(random, sources);
  return `select ${group.alias}.a as g, ${group.alias}.t as h, ${fullAggregate(random, sources)} as x, count(*) as n ${text}${filter} group by 1, 2`;
}

function subqueries(random: Random, mirrors: readonly MirrorBinding[]): string {
  const outer = sourceOf(random, withKey(mirrors), "o");
  const subquery = () => {
    const inside = sourceOf(random, mirrors, "s");
    const where = ` from ${inside.named} where ${pick(random, [
      `s.${pick(random, ["a", "b"])} = o.a`,
      `s.a = o.a and ${predicate(random, [inside])}`,
      `s.t = o.t and s.b <> o.b`,
      predicate(random, [inside]),
    ])}`;
    return { where, inside };
  };
  const condition = () => {
    const { where } = subquery();
    return pick(random, [
      `exists (select${where})`,
      `not exists (select 1${where})`,
      `o.a in (select s.${pick(random, ["a", "b"])}${where})`,
      `o.a not in (select s.a${where})`,
      `o.a ${pick(random, ["<", ">=", "<>"])} all (select s.b${where})`,
      `(o.a, o.t) in (select s.a, s.t${where})`,
      `(o.f or exists (select${where}))`,
    ]);
  };
  const value = () => {
    const { where, inside } = subquery();
    return pick(random, [
      `(select ${fullAggregate(random, [inside])}${where})`,
      `exists (select${where})`,
      `o.b in (select s.a${where})`,
      `array(select s.a${where} order by s.a)`,
    ]);
  };
  return `select ${[...keysOrNone(random, [outer]), "o.t"].join(", ")}, ${value()} as v from ${outer.named} where ${condition()}${chance(random, 0.3) ? ` and ${predicate(random, [outer])}` : ""}`;
}

/** Aggregates whose value depends on no order. */
function fullAggregate(random: Random, sources: readonly Source[]): string {
  const filter = chance(random, 0.2) ? ` filter (where ${predicate(random, sources)})` : "";
  return pick(random, [
    `min(${number(random, sources)})${filter}`,
    `max(${int(random, sources)})${filter}`,
    `max(${text(random, sources)})`,
    `count(distinct ${int(random, sources)})${filter}`,
    `sum(distinct ${int(random, sources)})`,
    `bool_or(${of(random, sources, "f")})`,
    `array_agg(distinct ${int(random, sources)})`,
    `string_agg(distinct ${text(random, sources)}, '|')`,
    `percentile_disc(0.5) within group (order by ${of(random, sources, "a")})`,
    `count(*)${filter}`,
  ]);
}

function extremes(random: Random, mirrors: readonly MirrorBinding[]): string {
  const { text: from, sources } = makeFrom(random, mirrors, 1 + random.below(2));
  const groups = [int(random, sources), text(random, sources)].slice(0, 1 + random.below(2));
  const items = groups.map((sql, i) => `${sql} as g${i}`);
  const having = chance(random, 0.2) ? ` having max(${of(random, sources, "a")}) > 0` : "";
  return `select ${[...items, `${fullAggregate(random, sources)} as x`, `${fullAggregate(random, sources)} as y`].join(", ")} ${from} group by ${groups.map((_, i) => i + 1).join(", ")}${having}`;
}

/** With the row of all rows where it follows from others. */
function groupingSets(random: Random, mirrors: readonly MirrorBinding[]): string {
  const { text: from, sources } = makeFrom(random, mirrors, 1 + random.below(2));
  const groups = [of(random, sources, "a"), text(random, sources), of(random, sources, "f")].slice(
    0,
    1 + random.below(3),
  );
  const [first = "", ...rest] = groups;
  const all = groups.join(", ");
  const derivable = () =>
    pick(random, [
      `min(${number(random, sources)})`,
      `max(${text(random, sources)})`,
      `bool_and(${of(random, sources, "f")})`,
      `sum(${int(random, sources)})`,
      `count(${text(random, sources)}) filter (where ${predicate(random, sources)})`,
    ]);
  const shown = groups.flatMap((sql, i) => (chance(random, 0.7) ? [`${sql} as g${i}`] : []));
  const level = chance(random, 0.6) ? [`grouping(${all}) as level`] : [];
  const [sets, aggregates] = chance(random, 0.6)
    ? [
        pick(random, [
          `rollup (${all})`,
          `cube (${all})`,
          `grouping sets ((${all}), (${first}), ())`,
          `grouping sets ((), (), (${all}))`,
        ]),
        [`max(${number(random, sources)}) as x`, `${derivable()} as y`, "count(*) as n"],
      ]
    : [
        rest.length === 0
          ? `grouping sets ((${all}), (${first}))`
          : pick(random, [`${first}, cube (${rest.join(", ")})`, `grouping sets (${groups.join(", ")})`]),
        [`${fullAggregate(random, sources)} as x`, `${fullAggregate(random, sources)} as y`],
      ];
  return `select ${[...shown, ...level, ...aggregates].join(", ")} ${from} group by ${sets}`;
}

/** What is grouped, numbered or counted by is an aggregate of smaller groups. */
function groupsOfGroups(random: Random, mirrors: readonly MirrorBinding[]): string {
  const { text: from, sources } = makeFrom(random, mirrors, 1 + random.below(2));
  const value = pick(random, [
    `max(${int(random, sources)})`,
    `count(*)`,
    `min(${text(random, sources)})`,
    `count(distinct ${int(random, sources)})`,
    `sum(${int(random, sources)})`,
  ]);
  const inner = `select ${of(random, sources, "a")} as g, ${text(random, sources)} as h, ${value} as v, bool_or(${of(random, sources, "f")}) as f ${from} group by 1, 2`;
  const beside = sourceOf(random, withKey(mirrors), "k").named;
  const outer = pick(random, [
    `select j.v, count(*) as n, max(k.t) as t from inside as j join ${beside} on k.a = j.g group by j.v`,
    `select j.v, k.f, sum(k.a) as s, count(j.h) as hs from inside as j left join ${beside} on k.a = j.g where j.f is not true group by 1, 2`,
    `select k.t, j.v, count(distinct k.a) as n from ${beside} right join inside as j on k.a = j.g group by k.t, j.v having count(*) > 1`,
    `select distinct j.v, k.t from inside as j, ${beside} where k.a = j.g`,
    `select j.v, q.n, count(*) as times from inside as j left join (select k.a, count(*) as n from ${beside} group by k.a) as q on q.a = j.g group by j.v, q.n`,
    "select v, count(*) as n, count(g) as gs from inside group by v",
    "select v, max(h) as h, array_agg(distinct g) as gs from inside group by v",
    "select count(*) as n, sum(g) as s from inside where f is not false",
    "select upper(h) as u, max(g) as g, count(*) as n from inside group by upper(h)",
    "select distinct v, f from inside",
    "select g, h, v, count(*) over (partition by v) as beside from inside",
    "select distinct on (v) v, g, h from inside order by v, g nulls last, h nulls last",
    "select v, f, grouping(v, f) as level, count(*) as n, max(g) as hi from inside group by rollup (v, f)",
    "select n, count(*) as vs from (select v, count(*) as n from inside group by v) again where n > 1 group by n",
  ]);
  if (chance(random, 0.5)) return `with inside as (${inner}) ${outer}`;
  return outer.replace("inside", outer.includes("inside as") ? `(${inner})` : `(${inner}) as m`);
}

function windows(random: Random, mirrors: readonly MirrorBinding[]): string {
  const source = sourceOf(random, withKey(mirrors), "o");
  const key = (source.key ?? []).map((name) => `o.${quote(name)}`);
  const [partition, order] = [
    `partition by o.${pick(random, ["a", "t", "f"])}`,
    `order by o.n nulls first, ${key.join(", ")}`,
  ];
  const call = pick(random, [
    `row_number() over (${partition} ${order})`,
    `sum(o.m) over (${partition} ${order})`,
    `lag(o.t) over (${partition} ${order})`,
    `count(*) over (${partition})`,
    `first_value(o.a) over (${partition} ${order} rows between 1 preceding and current row)`,
  ]);
  const from = `from ${source.named}${chance(random, 0.4) ? ` where ${predicate(random, [source])}` : ""}`;
  const select = (others: readonly string[]) =>
    `select ${[...keysOrNone(random, [source]), ...others].join(", ")}, ${call} as v, row_number() over (${partition} ${order}) as rn ${from}`;
  if (chance(random, 0.3)) return select(["o.m"]);
  const inner = select(["o.a", "o.t", "o.f"]);
  return chance(random, 0.5) ? inner : `select * from (${inner}) q where rn <= 2`;
}

function setOperation(random: Random, mirrors: readonly MirrorBinding[]): string {
  const part = () => {
    const source = sourceOf(random, mirrors, "s");
    return `select ${int(random, [source])} as a, s.t as t from ${source.named} where ${predicate(random, [source])}`;
  };
  const operation = () => pick(random, ["union", "intersect", "except"]);
  const tail = chance(random, 0.3) ? ` ${operation()} (${part()} ${operation()} ${part()})` : "";
  return `${part()} ${operation()} ${part()}${tail}`;
}

/** Parts of any kind, and rows as often as all of them have them. */
function unionOfAll(random: Random, mirrors: readonly MirrorBinding[]): string {
  const part = () => {
    const [source, other] = [sourceOf(random, mirrors, "s"), sourceOf(random, mirrors, "r")];
    const where = `where ${predicate(random, [source])}`;
    return pick(random, [
      `select s.a, s.t from ${source.named} ${where}`,
      `select s.a, r.t from ${source.named} left join ${other.named} on r.a = s.a ${where}`,
      `select max(s.a), s.t from ${source.named} ${where} group by s.t`,
      `select s.a, s.t from ${source.named} where s.a in (select r.a from ${other.named} where r.t = s.t)`,
      `select s.a, s.t from ${source.named} except all select r.a, r.t from ${other.named}`,
    ]);
  };
  return Array.from({ length: 2 + random.below(2) }, () => `(${part()})`).join(" union all ");
}

function distinctOn(random: Random, mirrors: readonly MirrorBinding[]): string {
  const source = sourceOf(random, withKey(mirrors), "o");
  const key = (source.key ?? []).map((name) => `o.${quote(name)}`);
  const on = pick(random, ["o.a", "o.t", "o.a, o.f"]);
  const shown = [...(chance(random, 0.3) ? [] : [on]), ...keysOrNone(random, [source]), "o.n as value"];
  return `select distinct on (${on}) ${shown.join(", ")} from ${source.named} order by ${on}, o.m desc nulls last, ${key.join(", ")}`;
}

function laterals(random: Random, mirrors: readonly MirrorBinding[]): string {
  const outer = sourceOf(random, withKey(mirrors), "o");
  const inside = sourceOf(random, withKey(mirrors), "s");
  const key = (inside.key ?? []).map((name) => `s.${quote(name)}`);
  const item = pick(random, [
    `(select s.a as v, s.t as x from ${inside.named} where s.${pick(random, ["a", "b"])} = o.a order by s.n, ${key.join(", ")} limit 1)`,
    `(select ${fullAggregate(random, [inside])} as v, max(s.t) as x from ${inside.named} where s.a = o.a)`,
  ]);
  return `select ${[...keysOrNone(random, [outer]), "l.v", "l.x"].join(", ")} from ${outer.named} left join lateral ${item} l on ${pick(random, ["true", "o.f"])}`;
}

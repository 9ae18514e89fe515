/** For tests: tables, queries of the supported grammar and histories of changes, all from a seed. */
import type { Random } from "../base/random.ts";
import { mirrorName, quote } from "../catalog/definitions.ts";
import { hiddenKey, type MirrorBinding, type ViewClass } from "./compiled-view.ts";
import type { LawChange, LawRow } from "./law-driver.fixture.ts";

/** Few values per type, so that joins match, groups meet and keys come back; and those that are hard to take out again. */
const values: Readonly<Record<string, readonly (string | null)[]>> = {
  integer: [null, "0", "1", "2", "3", "-2147483648"],
  bigint: [null, "0", "1", "2", "-7", "9007199254740993"],
  numeric: [null, "1.5", "1.50", "-3.25", "0", "2", "2.000", "NaN", "Infinity", "-Infinity"],
  "numeric(8,2)": [null, "1.50", "-0.25", "12.00", "NaN"],
  text: [null, "", "a", "b", "A", "it's \\ é"],
  boolean: [null, "true", "false"],
  date: [null, "2024-02-29", "2025-01-01"],
  "timestamp with time zone": [null, "2024-03-31 00:30:00+00", "2024-03-31 01:30:00+00"],
  "double precision": [null, "0", "-0", "1.5", "NaN"],
  interval: [null, "30 days", "1 mon"],
  jsonb: [null, '{"a": 1}', '{"a": 1.0}'],
  json: [null, '{"a": 1}', '{"a":1}'],
};

interface Column {
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
}

/** Every table has ints a (required in some) and b, a numeric n and m, a text t, a flag f; the rest by chance. */
function makeColumns(random: Random, key: readonly Column[]): Column[] {
  const always: Column[] = [
    { name: "a", type: "integer", required: false },
    { name: "b", type: chance(random, 0.5) ? "integer" : "bigint", required: false },
    { name: "n", type: "numeric", required: false },
    { name: "m", type: "numeric(8,2)", required: chance(random, 0.5) },
    { name: "t", type: "text", required: chance(random, 0.3) },
    { name: "f", type: "boolean", required: false },
  ];
  const sometimes: Column[] = [
    { name: "d", type: "date", required: false },
    { name: "ts", type: "timestamp with time zone", required: false },
    { name: "x", type: "double precision", required: false },
    { name: "iv", type: "interval", required: false },
    { name: "Jb", type: "jsonb", required: false },
    { name: "j s", type: "json", required: false },
  ];
  return [...key, ...always, ...sometimes.filter(() => chance(random, 0.3))];
}

export function makeTables(random: Random): MirrorBinding[] {
  const kinds: readonly (readonly Column[])[] = [
    [{ name: "id", type: "integer", required: true }],
    [
      { name: "k", type: "integer", required: true },
      { name: "K 2", type: "text", required: true },
    ],
    [{ name: "id", type: "bigint", required: true }],
    [],
  ];
  const ids = shuffled(random, [1, 2, 3, 4]);
  return kinds.map((key, i) => {
    const schema = i === 1 ? "audit" : "public";
    const table = `t${i}`;
    const source = i % 2 === 0 ? "shop" : "crm";
    return {
      id: ids[i] ?? 0,
      shape: {
        source,
        schema,
        table,
        topic: `${source}.${schema}.${table}`,
        columns: makeColumns(random, key).map(({ name, type, required }) => ({
          name,
          sourceType: type,
          storeType: type,
          nullable: !required,
          carriedAsText: false,
        })),
        key: key.length === 0 ? null : key.map((column) => column.name),
        appendOnly: false,
      },
    };
  });
}

export function makeBatch(random: Random, mirrors: readonly MirrorBinding[], size: number): LawChange[] {
  return Array.from({ length: random.below(size + 1) }, () => makeChange(random, pick(random, mirrors)));
}

function makeChange(random: Random, { id, shape }: MirrorBinding): LawChange {
  if (chance(random, 0.01)) return { op: "truncate", mirrorId: id };
  const key = shape.key ?? [hiddenKey];
  const keyRow: Record<string, string> = {};
  for (const name of key)
    keyRow[name] = name === "K 2" ? pick(random, ["a", "b"]) : String(random.below(key.length > 1 ? 4 : 8));
  if (chance(random, 0.25)) return { op: "delete", mirrorId: id, key: keyRow };
  const row: Record<string, string | null> = { ...keyRow };
  for (const { name, storeType, nullable } of shape.columns) {
    if (!key.includes(name))
      row[name] = pick(
        random,
        (values[storeType] ?? []).filter((value) => nullable || value !== null),
      );
  }
  return { op: "put", mirrorId: id, row: row as LawRow };
}

interface Source {
  readonly alias: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly key: readonly string[] | null;
}

export interface LawQuery {
  readonly text: string;
  readonly kind: ViewClass;
}

export function makeQuery(random: Random, mirrors: readonly MirrorBinding[]): LawQuery {
  return pick(random, [makeLinear, makeAdditive, makeAdditive, makeKeyed, makeKeyed])(random, mirrors);
}

/** Queries that are run again for the keys that a batch reaches, put together from pieces that have one answer. */
export function makeKeyed(random: Random, mirrors: readonly MirrorBinding[]): LawQuery {
  const make = pick(random, [outerJoins, subqueries, extremes, windows, setOperation, distinctOn, laterals]);
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
  if (chance(random, 0.5))
    return `select ${[...keysOf(sources), ...someOutputs(random, sources)].join(", ")} ${text}${filter}`;
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
  return `select ${keysOf([outer]).join(", ")}, o.t, ${value()} as v from ${outer.named} where ${condition()}${chance(random, 0.3) ? ` and ${predicate(random, [outer])}` : ""}`;
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
  const inner = `select ${keysOf([source]).join(", ")}, o.a, o.t, o.f, ${call} as v, row_number() over (${partition} ${order}) as rn ${from}`;
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

function distinctOn(random: Random, mirrors: readonly MirrorBinding[]): string {
  const source = sourceOf(random, withKey(mirrors), "o");
  const key = (source.key ?? []).map((name) => `o.${quote(name)}`);
  const on = pick(random, ["o.a", "o.t", "o.a, o.f"]);
  return `select distinct on (${on}) ${on}, ${keysOf([source]).join(", ")}, o.n as value from ${source.named} order by ${on}, o.m desc nulls last, ${key.join(", ")}`;
}

function laterals(random: Random, mirrors: readonly MirrorBinding[]): string {
  const outer = sourceOf(random, withKey(mirrors), "o");
  const inside = sourceOf(random, withKey(mirrors), "s");
  const key = (inside.key ?? []).map((name) => `s.${quote(name)}`);
  const item = pick(random, [
    `(select s.a as v, s.t as x from ${inside.named} where s.${pick(random, ["a", "b"])} = o.a order by s.n, ${key.join(", ")} limit 1)`,
    `(select ${fullAggregate(random, [inside])} as v, max(s.t) as x from ${inside.named} where s.a = o.a)`,
  ]);
  return `select ${keysOf([outer]).join(", ")}, l.v, l.x from ${outer.named} left join lateral ${item} l on ${pick(random, ["true", "o.f"])}`;
}

function makeLinear(random: Random, mirrors: readonly MirrorBinding[]): LawQuery {
  const keyed = mirrors.filter(({ shape }) => shape.key !== null);
  const parts = chance(random, 0.25) ? 2 : 1;
  if (parts === 1) {
    const from = makeFrom(random, keyed, 1 + random.below(3));
    if (from.sources.length === 1 && chance(random, 0.2)) return { text: `select * ${from.text}`, kind: "linear" };
    return {
      text: `select ${[...keysOf(from.sources), ...someOutputs(random, from.sources)].join(", ")} ${from.text}`,
      kind: "linear",
    };
  }
  const selects = Array.from({ length: parts }, (_, i) => {
    const from = makeFrom(
      random,
      mirrors.filter(({ shape }) => shape.key?.length === 1),
      1,
    );
    const [source] = from.sources;
    return `select 'part ${i}' as part, ${source?.alias}.id as id, ${int(random, from.sources)} as v, ${text(random, from.sources)} as w2 ${from.text}`;
  });
  return { text: selects.join(" union all "), kind: "linear" };
}

function keysOf(sources: readonly Source[]): string[] {
  return sources.flatMap(({ alias, key }) =>
    (key ?? []).map((name) => `${alias}.${quote(name)} as ${quote(`${alias}_${name}`)}`),
  );
}

function someOutputs(random: Random, sources: readonly Source[]): string[] {
  const outputs = [
    `${int(random, sources)} as i1`,
    `${number(random, sources)} as n1`,
    `${text(random, sources)} as t1`,
  ];
  const plain = pick(random, sources);
  for (const { name } of plain.columns)
    if (chance(random, 0.4)) outputs.push(`${plain.alias}.${quote(name)} as ${quote(`p_${name}`)}`);
  return outputs;
}

function makeAdditive(random: Random, mirrors: readonly MirrorBinding[]): LawQuery {
  const shape = random.below(4);
  const { text: from, sources } =
    shape === 0
      ? unionFrom(random, mirrors)
      : shape === 1
        ? nestedFrom(random, mirrors)
        : makeFrom(random, mirrors, 1 + random.below(3));
  const groups = Array.from({ length: random.below(4) }, (_, i) => ({
    name: `g${i}`,
    sql: groupExpression(random, sources),
  })).filter((group, i, all) => all.findIndex((other) => other.sql === group.sql) === i);
  const aggregates = Array.from({ length: 1 + random.below(4) }, (_, i) => `${aggregate(random, sources)} as x${i}`);
  const by = groups.map((group, i) => pick(random, [group.sql, group.name, String(i + 1)]));
  const described =
    /^(?!.*\.n$)/.test(groups[0]?.sql ?? ".n") && chance(random, 0.3)
      ? [`coalesce((${groups[0]?.sql})::text, 'none') as described`]
      : [];
  const items = [...groups.map((group) => `${group.sql} as ${group.name}`), ...aggregates, ...described];
  const having = chance(random, 0.2)
    ? ` having ${pick(random, ["count(*) > 1", "sum(1) filter (where true) >= 2", `${aggregate(random, sources)} is not null`])}`
    : "";
  return {
    text: `select ${items.join(", ")} ${from}${by.length === 0 ? "" : ` group by ${by.join(", ")}`}${having}`,
    kind: "additive",
  };
}

interface From {
  readonly text: string;
  readonly sources: readonly Source[];
}

function makeFrom(random: Random, mirrors: readonly MirrorBinding[], tables: number): From {
  const sources: Source[] = [];
  let text = "";
  let moved = "";
  for (let i = 0; i < tables; i++) {
    const mirror = i > 0 && chance(random, 0.4) ? (lastMirror ?? pick(random, mirrors)) : pick(random, mirrors);
    lastMirror = mirror;
    const source: Source = {
      alias: `r${i}`,
      columns: mirror.shape.columns.map((column) => ({ name: column.name, type: column.storeType })),
      key: mirror.shape.key,
    };
    const named = `${mirrorReference(random, mirror)} as r${i}`;
    if (i === 0) text = `from ${named}`;
    else {
      const on = joinCondition(random, sources, source);
      const form = random.below(4);
      if (form === 0 && on.includes(" = ")) {
        text += `, ${named}`;
        moved += ` and ${on}`;
      } else if (form === 1 && sources.length === 1) text += ` join ${named} using (a)`;
      else text += ` ${pick(random, ["join", "inner join"])} ${named} on ${on}`;
    }
    sources.push(source);
  }
  // A comma binds weaker than JOIN: what was joined by a comma must not be named in a later ON.
  const [filter, usesUsing] = [chance(random, 0.5) ? predicate(random, sources) : "true", text.includes("using")];
  if (text.includes(",") && (text.includes(" on ") || usesUsing)) return makeFrom(random, mirrors, tables);
  return { text: `${text} where ${filter}${moved}`, sources };
}

let lastMirror: MirrorBinding | undefined;

function mirrorReference(random: Random, { shape }: MirrorBinding): string {
  return pick(random, [
    `${shape.source}.${quote(mirrorName(shape.schema, shape.table))}`,
    `${shape.source}.${shape.schema}.${shape.table}`,
    shape.table,
  ]);
}

function joinCondition(random: Random, sources: readonly Source[], next: Source): string {
  const before = pick(random, sources);
  const column = (source: Source) =>
    `${source.alias}.${quote(pick(random, ["a", "b", ...(source.key ?? []).filter((name) => name !== "K 2")]))}`;
  const equal = `${column(before)} = ${column(next)}`;
  return pick(random, [
    equal,
    equal,
    `${equal} and ${before.alias}.t = ${next.alias}.t`,
    `${equal} and ${next.alias}.a > 0`,
    `${column(before)} < ${column(next)}`,
    `(${equal} or ${next.alias}.f)`,
  ]);
}

const derivedColumns = [
  { name: "a", type: "integer" },
  { name: "b", type: "bigint" },
  { name: "n", type: "numeric" },
  { name: "m", type: "numeric" },
  { name: "t", type: "text" },
  { name: "f", type: "boolean" },
];

function derivedSelect(random: Random, mirrors: readonly MirrorBinding[], tables: number): string {
  const { text: from, sources } = makeFrom(random, mirrors, tables);
  const bool = pick(random, [`${pick(random, sources).alias}.f`, "true", `(${predicate(random, sources)})`]);
  return `select ${int(random, sources)} as a, ${int(random, sources)} as b, ${number(random, sources)} as n, ${number(random, sources)} as m, ${pick(random, ["'const'", text(random, sources)])} as t, ${bool} as f ${from}`;
}

function unionFrom(random: Random, mirrors: readonly MirrorBinding[]): From {
  const parts = Array.from({ length: 2 + random.below(2) }, () => derivedSelect(random, mirrors, 1 + random.below(2)));
  const union = parts.join(" union all ");
  const first: Source = { alias: "u0", columns: derivedColumns, key: null };
  if (chance(random, 0.3)) {
    const mirror = pick(random, mirrors);
    const second: Source = {
      alias: "u1",
      columns: mirror.shape.columns.map((column) => ({ name: column.name, type: column.storeType })),
      key: null,
    };
    return {
      text: `from (${union}) as u0 join ${mirrorReference(random, mirror)} u1 on u0.a = u1.a where true`,
      sources: [first, second],
    };
  }
  return { text: `from (${union}) as u0 where ${predicate(random, [first])}`, sources: [first] };
}

function nestedFrom(random: Random, mirrors: readonly MirrorBinding[]): From {
  const source: Source = { alias: "q", columns: derivedColumns, key: null };
  return {
    text: `from (${derivedSelect(random, mirrors, 1 + random.below(2))}) q where ${predicate(random, [source])}`,
    sources: [source],
  };
}

function of(random: Random, sources: readonly Source[], name: string): string {
  return `${pick(random, sources).alias}.${name}`;
}

function int(random: Random, sources: readonly Source[]): string {
  const a = of(random, sources, "a");
  return pick(random, [
    a,
    a,
    `coalesce(${a}, 5)`,
    `(${a} / 2)`,
    `(case when ${of(random, sources, "f")} then ${a} else 1 end)`,
    `length(${of(random, sources, "t")})`,
    `(${a} % 3)`,
    `nullif(${a}, 1)`,
  ]);
}

function number(random: Random, sources: readonly Source[]): string {
  const [n, m] = [of(random, sources, "n"), of(random, sources, "m")];
  return pick(random, [
    n,
    m,
    `(${n} * 2)`,
    `(${m} - ${int(random, sources)})`,
    `coalesce(${m}, 0)`,
    `round(${n}, 1)`,
    `abs(${m})`,
    `(${n} + ${m})`,
  ]);
}

function text(random: Random, sources: readonly Source[]): string {
  const t = of(random, sources, "t");
  return pick(random, [
    t,
    `upper(${t})`,
    `coalesce(${t}, 'none')`,
    `(${t} || '-' || ${of(random, sources, "t")})`,
    `(case ${of(random, sources, "a")} when 1 then 'one' else ${t} end)`,
  ]);
}

function predicate(random: Random, sources: readonly Source[]): string {
  const [a, t, f] = [of(random, sources, "a"), of(random, sources, "t"), of(random, sources, "f")];
  const simple = () =>
    pick(random, [
      `${a} > 0`,
      `${a} in (1, 2, 3)`,
      `${a} between 0 and 2`,
      `${t} = 'a'`,
      `${t} like 'a%'`,
      f,
      `${f} is not true`,
      `${t} is not null`,
      `${of(random, sources, "n")} > 1`,
      `${a} is distinct from 1`,
      `${a} = any (array[0, 1])`,
      `not ${f}`,
    ]);
  return pick(random, [simple(), simple(), `${simple()} and ${simple()}`, `(${simple()} or ${simple()})`]);
}

function groupExpression(random: Random, sources: readonly Source[]): string {
  return pick(random, [
    int,
    text,
    (r: Random, s: readonly Source[]) => of(r, s, "f"),
    (r: Random, s: readonly Source[]) => of(r, s, "n"),
    (r: Random, s: readonly Source[]) => of(r, s, "a"),
  ])(random, sources);
}

function aggregate(random: Random, sources: readonly Source[]): string {
  const filter = chance(random, 0.3) ? ` filter (where ${predicate(random, sources)})` : "";
  const sum = () => `sum(${pick(random, [int, number])(random, sources)})${filter}`;
  return pick(random, [
    `count(*)${filter}`,
    `count(${text(random, sources)})${filter}`,
    sum(),
    sum(),
    `avg(${pick(random, [int, number])(random, sources)})${filter}`,
    `coalesce(${sum()}, 0)`,
    `(${sum()} / nullif(count(*), 0))`,
    `(case when count(*) > 2 then ${sum()} end)`,
    `sum(${of(random, sources, "b")})`,
  ]);
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.below(from.length)] as T;
}

function chance(random: Random, probability: number): boolean {
  return random.next() < probability;
}

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}

/** For tests: tables, queries of the supported grammar and histories of changes, all from a seed. */
import type { Random } from "../base/random.ts";
import { hiddenKey, type MirrorBinding, type ViewClass } from "./compiled-view.ts";
import type { LawChange, LawRow } from "./law-driver.fixture.ts";
import { makeKeyed } from "./law-keyed.fixture.ts";
import {
  chance,
  type From,
  int,
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

export interface LawQuery {
  readonly text: string;
  readonly kind: ViewClass;
}

export function makeQuery(random: Random, mirrors: readonly MirrorBinding[]): LawQuery {
  return pick(random, [makeLinear, makeAdditive, makeAdditive, makeKeyed, makeKeyed])(random, mirrors);
}

function makeLinear(random: Random, mirrors: readonly MirrorBinding[]): LawQuery {
  const keyed = mirrors.filter(({ shape }) => shape.key !== null);
  const parts = chance(random, 0.25) ? 2 : 1;
  if (parts === 1) {
    const from = makeFrom(random, chance(random, 0.7) ? keyed : mirrors, 1 + random.below(3));
    if (from.sources.length === 1 && chance(random, 0.2)) return { text: `select * ${from.text}`, kind: "linear" };
    return {
      text: `select ${[...keysOrNone(random, from.sources), ...someOutputs(random, from.sources)].join(", ")} ${from.text}`,
      kind: "linear",
    };
  }
  if (chance(random, 0.3))
    return { text: unionFrom(random, mirrors).text.replace(/^from \((.*)\) as u0.*$/s, "$1"), kind: "linear" };
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
  const shown = chance(random, 0.7) ? groups : groups.filter(() => chance(random, 0.5));
  const by = groups.map((group) => {
    const place = shown.indexOf(group);
    return pick(random, [group.sql, ...(place < 0 ? [] : [group.name, String(place + 1)])]);
  });
  const sets = groups.length > 0 && chance(random, 0.3) ? groupingForm(random, by) : null;
  // What tells a NULL of the table from one that stands for all.
  const level =
    sets === null || chance(random, 0.2) ? [] : [`grouping(${groups.map((group) => group.sql).join(", ")}) as level`];
  const described =
    /^(?!.*\.n$)/.test(groups[0]?.sql ?? ".n") && chance(random, 0.3)
      ? [`coalesce((${groups[0]?.sql})::text, 'none') as described`]
      : [];
  const items = [...shown.map((group) => `${group.sql} as ${group.name}`), ...aggregates, ...level, ...described];
  const having = chance(random, 0.2)
    ? ` having ${pick(random, ["count(*) > 1", "sum(1) filter (where true) >= 2", `${aggregate(random, sources)} is not null`])}`
    : "";
  return {
    text: `select ${items.join(", ")} ${from}${by.length === 0 ? "" : ` group by ${sets ?? by.join(", ")}`}${having}`,
    kind: "additive",
  };
}

function groupingForm(random: Random, by: readonly string[]): string {
  const [first = "", ...rest] = by;
  return pick(random, [
    `rollup (${by.join(", ")})`,
    `cube (${by.join(", ")})`,
    `grouping sets ((${by.join(", ")}), ())`,
    rest.length === 0 ? `grouping sets ((), ${first})` : `${first}, cube (${rest.join(", ")})`,
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

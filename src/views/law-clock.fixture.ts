/** For tests: queries that filter by time, over tables of moments, and histories in which the clock moves. */
import type { Random } from "../base/random.ts";
import type { MirrorBinding } from "./compiled-view.ts";
import { type LawChange, lawClock } from "./law-driver.fixture.ts";
import type { LawFeature } from "./law-features.fixture.ts";
import { makeBatch, makeQuery, makeTables } from "./law-generator.fixture.ts";
import { chance, pick } from "./law-pieces.fixture.ts";

const moments = [
  { name: "at", type: "timestamp with time zone" },
  { name: "until", type: "timestamp with time zone" },
  { name: "local", type: "timestamp without time zone" },
  { name: "day", type: "date" },
];

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** The tables of the other laws, each with moments. */
export function makeTimedTables(random: Random): MirrorBinding[] {
  return makeTables(random).map(({ id, shape }) => ({
    id,
    shape: {
      ...shape,
      columns: [
        ...shape.columns,
        ...moments.map(({ name, type }) => ({
          ...{ name, sourceType: type, storeType: type, nullable: true },
          carriedAsText: false,
        })),
      ],
    },
  }));
}

/** Changes of rows whose moments are about where the clock stands, some of them on it. */
export function makeTimedBatch(
  random: Random,
  mirrors: readonly MirrorBinding[],
  size: number,
  clockMs: number,
): LawChange[] {
  const moment = (type: string) => {
    if (chance(random, 0.1)) return pick(random, [null, "infinity", "-infinity"]);
    const days = type === "date" || chance(random, 0.3);
    const steps = random.below(9) - 4;
    const text = new Date(clockMs + steps * (days ? dayMs : 10 * minuteMs)).toISOString();
    return days && type === "date" ? text.slice(0, 10) : text;
  };
  return makeBatch(random, mirrors, size).map((change) =>
    change.op !== "put"
      ? change
      : {
          ...change,
          row: { ...change.row, ...Object.fromEntries(moments.map(({ name, type }) => [name, moment(type)])) },
        },
  );
}

/** The clock of a history: it goes on by little, stands still, and jumps far. */
export class LawClock {
  readonly #random: Random;
  ms = Date.parse(lawClock);

  constructor(random: Random) {
    this.#random = random;
  }

  /** Where it goes to with the next batch; undefined when it stays. */
  next(): string | undefined {
    if (chance(this.#random, 0.25)) return undefined;
    const far = chance(this.#random, 0.15);
    this.ms += pick(this.#random, far ? [dayMs, 40 * dayMs] : [1, 10, 10, 10, 20, 35].map((n) => n * minuteMs));
    return new Date(this.ms).toISOString();
  }
}

function condition(random: Random): string {
  const column = () => pick(random, ["at", "at", "until", "local", "day"]);
  const operator = () => pick(random, ["<", "<=", ">", ">="]);
  const interval = () =>
    `interval '${pick(random, ["10 minutes", "20 minutes", "1 day", "1 mon", "1 mon -2 days", "0"])}'`;
  const sign = () => pick(random, ["+", "-"]);
  const simple = () =>
    pick(random, [
      `${column()} ${operator()} now() ${sign()} ${interval()}`,
      `${column()} ${operator()} now()`,
      `now() ${sign()} ${interval()} ${operator()} ${column()}`,
      `${column()} ${sign()} ${interval()} ${operator()} current_timestamp`,
      `${column()} between now() - ${interval()} and now() + ${interval()}`,
      "now() between at and until",
      `day ${operator()} current_date - 1`,
      `at ${operator()} date_trunc('day', now()) ${sign()} ${interval()}`,
      `local ${operator()} localtimestamp`,
      `coalesce(until, at) ${operator()} now()`,
      `greatest(at, until) ${operator()} (now() - ${interval()})::date`,
    ]);
  return chance(random, 0.3) ? `${simple()} and ${simple()}` : simple();
}

/** A generated query, with tables of which only some rows are there at each time. */
export function makeTimedQuery(random: Random, mirrors: readonly MirrorBinding[]): string {
  const { text } = makeQuery(random, mirrors);
  const timed = text.replaceAll(
    /\b((?:shop|crm)\.[\w."]+|(?<!\.)t\d) (?:as )?([rosu]\d?|q)\b(?! using)/g,
    (named, table: string, alias: string) =>
      chance(random, 0.6) ? `(select * from ${table} where ${condition(random)}) as ${alias}` : named,
  );
  return timed === text ? makeTimedQuery(random, mirrors) : timed;
}

export const timedFeatures: readonly LawFeature[] = [
  { about: "rows of the last minutes", text: "select id, a, at from t0 where at > now() - interval '20 minutes'" },
  { about: "rows that are due", text: "select id, t from t0 where at <= now() and f is not false" },
  {
    about: "rows between two moments of theirs",
    text: "select id, at, until from t0 where now() between at and until",
  },
  {
    about: "rows of today",
    text: "select id, day from t0 where day >= current_date and at < date_trunc('day', now()) + interval '1 day'",
  },
  { about: "an interval added to the column", text: "select id from t0 where at + interval '10 minutes' > now()" },
  { about: "a month added to the column", text: "select id from t0 where at + interval '1 mon' <= now()" },
  { about: "a column without an index", text: "select id from t0 where coalesce(until, at) > now()" },
  {
    about: "the older of the clock's words",
    text: "select id from t0 where at >= pg_catalog.now() - interval '1 day' and local < localtimestamp and until > transaction_timestamp()",
  },
  {
    about: "both sides of a join",
    text: "select x.id, y.id as other from t0 x join t2 y on x.a = y.a and y.at < now() + interval '20 minutes' where x.at > now() - interval '20 minutes'",
  },
  {
    about: "a table joined with itself, each side by its own time",
    text: "select x.id, y.id as other from t0 x join t0 y on x.a = y.a where x.at > now() - interval '20 minutes' and y.until < now()",
  },
  {
    about: "a table three times",
    text: "select x.id, y.id as b, z.id as c from t0 x join t0 y on x.a = y.a and y.at < now() join t0 z on z.b = y.b where x.until > now() and z.at > now() - interval '1 day'",
  },
  { about: "rows without a key", text: "select a, t from t3 where at > now() - interval '20 minutes'" },
  {
    about: "a union of all, in parts by time",
    text: "select 'new' as kind, id from t0 where at > now() union all select 'old', id from t0 where at <= now()",
  },
  {
    about: "a filter around a union of all",
    text: "select * from (select 0 as part, id, at from t0 union all select 2, id, until from t2) u where at > now() - interval '10 minutes'",
  },
  {
    about: "sums",
    text: "select a, count(*) as n, sum(m) as s from t0 where at > now() - interval '20 minutes' group by a",
  },
  { about: "the sum of all rows", text: "select count(*) as n, sum(n) as s from t3 where until >= now()" },
  {
    about: "a rollup",
    text: "select a, t, grouping(a, t) as level, count(*) as n from t0 where at < now() group by rollup (a, t)",
  },
  { about: "distinct", text: "select distinct a, t from t0 where at > now() - interval '1 day'" },
  {
    about: "sums over a join of which one side is filtered",
    text: "select c.t, count(*) as n, avg(o.m) as m from t0 o join t2 c on c.id = o.a where c.until > now() group by c.t",
  },
  {
    about: "extremes",
    text: "select a, max(n) as hi, min(at) as first from t0 where at > now() - interval '20 minutes' group by a",
  },
  {
    about: "extremes of windows of time",
    text: "select date_bin('7 minutes', at, '2000-01-01') + interval '7 minutes' as ends, max(n) as hi, count(*) as c from t0 where until > now() group by 1",
  },
  {
    about: "extremes of days, of rows joined with others",
    text: "select date_trunc('day', x.local) as d, x.a, max(y.n) as hi from t0 x join t2 y on y.a = x.a where y.at > now() - interval '20 minutes' group by 1, 2",
  },
  {
    about: "ranks of what is left",
    text: "select id, row_number() over (partition by a order by n desc nulls last, id) as rn from t0 where until > now()",
  },
  {
    about: "the newest of each",
    text: "select distinct on (a) a, id, at from t0 where at <= now() and a is not null order by a, at desc nulls last, id",
  },
  {
    about: "a left join with what is left",
    text: "select o.id, r.id as other, r.at from t0 o left join (select * from t2 where at > now() - interval '20 minutes') r on r.a = o.a",
  },
  {
    about: "a left join of which the partner is asked behind it",
    text: "select o.id, r.id as other from t0 o left join t2 r on r.a = o.a where r.at > now() - interval '20 minutes'",
  },
  {
    about: "a full join of two filtered sides",
    text: "select x.id, y.id as other, x.a from (select * from t0 where at > now()) x full join (select * from t2 where until > now()) y on x.a = y.a",
  },
  {
    about: "exists",
    text: "select o.id from t0 o where exists (select from t3 r where r.a = o.a and r.at > now() - interval '20 minutes')",
  },
  {
    about: "not in, itself filtered",
    text: "select o.id, o.t from t0 o where o.a not in (select r.a from t3 r where r.at < now() and r.a is not null) and o.until > now()",
  },
  {
    about: "a subquery as a value",
    text: "select o.id, (select count(*) from t3 r where r.a = o.a and r.at > now() - interval '1 day') as recent from t0 o",
  },
  {
    about: "except",
    text: "select id from t0 where at > now() - interval '1 day' except select id from t2 where until < now()",
  },
  {
    about: "a lateral subquery",
    text: "select o.id, l.id as last from t0 o left join lateral (select r.id from t2 r where r.a = o.a and r.at <= now() order by r.at desc, r.id limit 1) l on true",
  },
  {
    about: "a CTE, read twice",
    text: "with recent as (select * from t0 where at > now() - interval '20 minutes') select x.id, y.id as other from recent x left join recent y on y.b = x.a",
  },
  {
    about: "groups joined with rows",
    text: "select o.id, s.hi from t0 o join (select a, max(n) as hi from t2 where at > now() - interval '20 minutes' group by a) s on s.a = o.a where o.until > now()",
  },
  {
    about: "a rollup of extremes",
    text: "select a, t, grouping(a, t) as level, max(n) as hi, count(*) as n from t0 where at > now() - interval '20 minutes' group by rollup (a, t)",
  },
  {
    about: "groups of groups of what is left",
    text: "select hi, count(*) as groups from (select a, max(b) as hi from t0 where until > now() group by a) g group by hi",
  },
  { about: "a view over a view", text: "select f.id, f.t from views.recent f where f.until > now()" },
];

/** Recomputed whole, with the clock anywhere. */
export const timedWholeFeatures: readonly LawFeature[] = [
  { about: "how old each row is", text: "select id, now() - at as age from t0 where isfinite(at)" },
  { about: "rows or others, by time", text: "select id from t0 where at > now() or f" },
  { about: "the first rows to come", text: "select id, at from t0 where at > now() order by at, id limit 3" },
  {
    about: "counts by age",
    text: "select current_date - day as days, count(*) as n from t0 where isfinite(day) group by current_date - day",
  },
];

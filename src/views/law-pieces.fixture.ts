/** For tests: the pieces that generated queries are put together from. */
import type { Random } from "../base/random.ts";
import { mirrorName, quote } from "../catalog/definitions.ts";
import type { MirrorBinding } from "./compiled-view.ts";

export interface Source {
  readonly alias: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly key: readonly string[] | null;
}

export interface From {
  readonly text: string;
  readonly sources: readonly Source[];
}

export function makeFrom(random: Random, mirrors: readonly MirrorBinding[], tables: number): From {
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

export function mirrorReference(random: Random, { shape }: MirrorBinding): string {
  return pick(random, [
    `${shape.source}.${quote(mirrorName(shape.schema, shape.table))}`,
    `${shape.source}.${shape.schema}.${shape.table}`,
    shape.table,
  ]);
}

export function joinCondition(random: Random, sources: readonly Source[], next: Source): string {
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

export function keysOf(sources: readonly Source[]): string[] {
  return sources.flatMap(({ alias, key }) =>
    (key ?? []).map((name) => `${alias}.${quote(name)} as ${quote(`${alias}_${name}`)}`),
  );
}

/** The same, or none of them: rows that are then told apart by what is in them. */
export function keysOrNone(random: Random, sources: readonly Source[]): string[] {
  return chance(random, 0.35) ? [] : keysOf(sources);
}

export function someOutputs(random: Random, sources: readonly Source[]): string[] {
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

export function of(random: Random, sources: readonly Source[], name: string): string {
  return `${pick(random, sources).alias}.${name}`;
}

export function int(random: Random, sources: readonly Source[]): string {
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

export function number(random: Random, sources: readonly Source[]): string {
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

export function text(random: Random, sources: readonly Source[]): string {
  const t = of(random, sources, "t");
  return pick(random, [
    t,
    `upper(${t})`,
    `coalesce(${t}, 'none')`,
    `(${t} || '-' || ${of(random, sources, "t")})`,
    `(case ${of(random, sources, "a")} when 1 then 'one' else ${t} end)`,
  ]);
}

export function predicate(random: Random, sources: readonly Source[]): string {
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

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.below(from.length)] as T;
}

export function chance(random: Random, probability: number): boolean {
  return random.next() < probability;
}

export function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}

/**
 * The law of views that filter by time: after every batch, be it one that moves the clock and nothing else, a view equals
 * its query at the group's clock, and its change rows replayed are the view. `MILLRACE_MODEL_RUNS` for more,
 * `MILLRACE_MODEL_SEED` for one seed again.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type pg from "pg";
import { type Random, seededRandom } from "../base/random.ts";
import { sql, view } from "../catalog/definitions.ts";
import type { CompiledView, MirrorBinding } from "./compiled-view.ts";
import {
  LawClock,
  makeTimedBatch,
  makeTimedQuery,
  makeTimedTables,
  timedFeatures,
  timedWholeFeatures,
} from "./law-clock.fixture.ts";
import { LawDriver, withDatabase } from "./law-driver.fixture.ts";
import { type LawFeature, lawSeed } from "./law-features.fixture.ts";
import { wholeRefreshMs } from "./law-whole.fixture.ts";

const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 3);
const firstSeed = Number(process.env.MILLRACE_MODEL_SEED ?? 1);

type Break = (compiled: CompiledView) => CompiledView;

interface Run {
  readonly random: Random;
  readonly mirrors: readonly MirrorBinding[];
  readonly driver: LawDriver;
  readonly clock: LawClock;
}

function definition(name: string, text: string) {
  return view(name, { ...sql``, text });
}

async function begin(client: pg.Client, seed: number): Promise<Run> {
  const random = seededRandom(seed);
  const mirrors = makeTimedTables(seededRandom(lawSeed));
  const run = { random, mirrors, driver: await LawDriver.create(client, mirrors), clock: new LawClock(random) };
  await change(run, 40);
  return run;
}

/** A batch of changes; every third only moves the clock. */
async function change({ random, mirrors, driver, clock }: Run, size: number, i = 0): Promise<void> {
  const to = clock.next();
  const alone = i % 3 === 2;
  await driver.batch(alone ? [] : makeTimedBatch(random, mirrors, size, clock.ms), to);
}

async function keeps(run: Run, defined: readonly ReturnType<typeof definition>[], batches: number): Promise<void> {
  const views: CompiledView[] = [];
  for (const one of defined) {
    try {
      views.push(await run.driver.define(one));
    } catch (cause) {
      throw new Error(one.sql.text, { cause });
    }
  }
  for (let i = 0; i < batches; i++) await change(run, 25, i);
  for (const one of views) await run.driver.drop(one);
}

function chunks(features: readonly LawFeature[], size: number): LawFeature[][] {
  return Array.from({ length: Math.ceil(features.length / size) }, (_, i) => features.slice(i * size, (i + 1) * size));
}

test("each way to filter by time keeps the law while rows change and the clock moves, stands still and jumps", async () => {
  await withDatabase(async (client) => {
    for (const [i, group] of chunks(timedFeatures, 9).entries()) {
      const run = await begin(client, lawSeed + i);
      await keeps(
        run,
        group.map(({ text }, v) => definition(`v${v}`, text)),
        7,
      );
    }
  });
});

test("a generated view that filters by time equals its query after every batch", async (t) => {
  t.diagnostic(`seeds ${firstSeed} to ${firstSeed + runs - 1}`);
  await withDatabase(async (client) => {
    for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
      const run = await begin(client, seed);
      const texts = Array.from({ length: 4 }, () => makeTimedQuery(run.random, run.mirrors));
      try {
        await keeps(
          run,
          texts.map((text, v) => definition(`v${v}`, text)),
          9,
        );
      } catch (cause) {
        throw new Error(`MILLRACE_MODEL_SEED=${seed} MILLRACE_MODEL_RUNS=1\n${texts.join("\n")}`, { cause });
      }
    }
  });
});

test("a view that is recomputed whole and asks the clock knows with each move of it that it is behind", async () => {
  await withDatabase(async (client) => {
    const run = await begin(client, lawSeed);
    const views = timedWholeFeatures.map(({ text }, v) => ({
      ...definition(`v${v}`, text),
      refreshMs: wholeRefreshMs,
    }));
    await keeps(run, views, 6);
  });
});

test("what is recorded while the clock moves brings a state to its query", async () => {
  // All of them where it may take its time; else those that stand beside each other in no group.
  const features = timedFeatures.filter((_, i) => runs > 3 || i % 3 === 0);
  await withDatabase(async (client) => {
    for (const [i, group] of chunks(features, 12).entries()) {
      const run = await begin(client, lawSeed + i);
      const views: CompiledView[] = [];
      for (const [v, { text }] of group.entries()) views.push(await run.driver.define(definition(`v${v}`, text)));
      for (const one of views) await run.driver.record(one);
      for (let batch = 0; batch < 6; batch++) await change(run, 20, batch);
      for (const one of views) await run.driver.catchUp(one, run.random);
      await change(run, 20);
      for (const one of views) await run.driver.drop(one);
    }
  });
});

test("no row comes or goes before the moment that the clock is moved for", async () => {
  const conditions = [
    "at > now() - interval '20 minutes'",
    "at <= now() and until >= now() + interval '10 minutes'",
    "until + interval '1 day' < now()",
    "local - interval '10 minutes' >= localtimestamp",
    "day <= now()",
    "day + interval '1 hour' > now()",
    "day > current_date",
    "at >= date_trunc('hour', now())",
    "at < date_trunc('minute', now() - interval '30 seconds')",
    "local >= date_trunc('week', localtimestamp) + interval '1 hour'",
    "at < (now() - interval '5 hours')::date",
  ];
  await withDatabase(async (client) => {
    const run = await begin(client, lawSeed);
    const views: CompiledView[] = [];
    for (const [v, condition] of conditions.entries())
      views.push(await run.driver.define(definition(`v${v}`, `select id, at from t0 where ${condition}`)));
    // Of months it may be said late, which the minute makes up for; not in the past, or the clock would move for nothing.
    const monthly = [];
    for (const [v, condition] of [
      "until + interval '1 mon -30 days' < now()",
      "at - interval '1 mon -29 days' > now()",
    ].entries())
      monthly.push(await run.driver.define(definition(`m${v}`, `select id, at from t0 where ${condition}`)));
    for (let i = 0; i < 10; i++) {
      await change(run, 25, i);
      for (const one of views) await run.driver.quiet(one, 3 * 24 * 3_600_000);
      for (const one of monthly) await run.driver.quiet(one, 0);
    }
  });
});

/** Forgets a term of the clock, or asks the wrong clock in one. */
const broken: Readonly<Record<string, readonly [text: string, change: Break]>> = {
  "a term of the clock is missing": [
    "select x.id, y.id as other from t0 x join t2 y on x.a = y.a and y.at < now() where x.at > now() - interval '20 minutes'",
    (compiled) => withTerms(compiled, (terms) => terms.slice(1)),
  ],
  "the other table is asked by the new clock on both sides": [
    "select x.id, y.id as other from t0 x join t0 y on x.a = y.a and y.at < now() where x.at > now() - interval '20 minutes'",
    (compiled) => withTerms(compiled, (terms) => terms.map((term) => term.replace(/(join[\s\S]*)now_before/, "$1now"))),
  ],
  "keys that time reaches are not noted": [
    "select a, max(n) as hi from t0 where at > now() - interval '20 minutes' group by a",
    (compiled) => withTerms(compiled, () => []),
  ],
  "rows are looked for where the clock was, and not where it went": [
    "select id, at from t0 where at > now() - interval '20 minutes'",
    (compiled) =>
      withTerms(compiled, (terms) =>
        terms.map((term) => term.replace(/greatest\([^)]*\)/, "now() - interval '9999 days'")),
      ),
  ],
};

function withTerms(compiled: CompiledView, change: (terms: readonly string[]) => readonly string[]): CompiledView {
  assert.ok(compiled.clock);
  return { ...compiled, clock: { ...compiled.clock, terms: change(compiled.clock.terms) } };
}

test("the law notices a term of the clock that is missing or asks the wrong clock", async () => {
  await withDatabase(async (client) => {
    for (const [about, [text, broke]] of Object.entries(broken)) {
      const history = async (compiled: Break) => {
        const run = await begin(client, 5);
        const made = await run.driver.define(definition("v", text), compiled);
        try {
          for (let i = 0; i < 20; i++) await change(run, 40, i);
        } finally {
          await client.query("rollback");
          await run.driver.drop(made);
        }
      };
      await history((same) => same);
      await assert.rejects(history(broke), /./, about);
    }
  });
});

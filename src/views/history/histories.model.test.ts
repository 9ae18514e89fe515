/** Histories against a naive list of versions, through kills, lost connections and rebuilds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../base/clock.ts";
import { seededRandom } from "../../base/random.ts";
import { quote } from "../../catalog/definitions.ts";
import { LawWatch } from "../builds-fixture.ts";
import { live, ViewsFixture } from "../group-fixture.ts";
import { openReader } from "../reader.ts";
import type { RowQuery } from "../view-info.ts";
import { HistoryModel, modelViews, rates, sales, withHistories } from "./history-model.fixture.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(performance.now() * 1e6) % 1e9);
const rounds = Number(process.env.MILLRACE_MODEL_RUNS ?? 1) * 20;
const everything: RowQuery = { filter: null, order: [], select: null, limit: 1_000, offset: 0, cursor: null };

const texts = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row)).sort();

async function assertVersions(fixture: ViewsFixture, model: HistoryModel): Promise<void> {
  for (const name of withHistories) {
    const { rows } = await fixture.pool.query(
      "select to_jsonb(q) - '_valid_from' - '_valid_to' as row, (extract(epoch from _valid_from) * 1000000)::float8 as from, " +
        `(extract(epoch from _valid_to) * 1000000)::float8 as to from views.${quote(`${name}.history`)} q`,
    );
    const inOrder = (row: Readonly<Record<string, unknown>>) => Object.entries(row).sort();
    assert.deepEqual(
      texts(rows.map(({ row, from, to }) => [inOrder(row), from, to])),
      texts(model.histories[name].versions.map(({ row, from, to }) => [inOrder(row), from, to])),
      name,
    );
  }
}

async function assertTaxes(fixture: ViewsFixture, model: HistoryModel): Promise<void> {
  assert.deepEqual(await fixture.rows("select id, tax from views.taxes"), texts(model.taxes()));
}

for (const canary of [false, true]) {
  const title = canary
    ? "a history that forgets a version is found out"
    : "versions are those of a naive list, joins as of a moment take the right one, and a view as of any moment is what it was";
  test(title, async (t) => {
    t.diagnostic(`seed ${seed}`);
    const random = seededRandom(seed);
    await using fixture = await ViewsFixture.open();
    const source = await fixture.source("shop", [rates, sales]);
    const model = new HistoryModel(random);
    const open = () => fixture.group(modelViews, { bound: { changesMax: 1 + random.below(6), bytesMax: 1 << 20 } });
    let group = await open();
    for (let i = 0; i < 3; i++) model.transaction();
    source.atMs = model.atMs;
    await source.snapshot(model.rows());
    model.noted();
    const begun = model.atMs * 1_000;
    await live(group);
    await using watch = await LawWatch.open(fixture);
    if (canary) await fixture.pool.query(forgets);
    const look = async () => {
      await fixture.settled(group);
      await assertVersions(fixture, model);
      await assertTaxes(fixture, model);
      const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
      for (const name of withHistories) {
        const { times } = model.histories[name];
        const moment = (times[random.below(times.length)] ?? begun) + random.below(3) - 1;
        const read = reader.rows(name, { ...everything, asOfMicros: moment });
        if (moment < begun) await assert.rejects(read, { code: "HISTORY_BEGINS_LATER" });
        else {
          const rows = (await read).rows.map((row) => JSON.stringify(numbers(JSON.parse(row))));
          assert.deepEqual(rows.sort(), texts(model.histories[name].asOf(moment)), `${name} as of ${moment}`);
        }
      }
      reader.close();
    };
    const run = async () => {
      for (let round = 0; round < (canary ? 10 : rounds); round++) {
        for (let i = 0; i < 1 + random.below(3); i++) {
          model.passTime();
          source.atMs = model.atMs;
          // Two transactions at one moment: the second is told apart by a microsecond.
          const together = Array.from({ length: 1 + random.below(2) }, () => {
            const changes = model.transaction();
            model.noted();
            return changes;
          });
          await source.commitTogether(together);
        }
        const dice = random.below(10);
        if (dice === 0) {
          await fixture.kill(group);
          group = await open();
        } else if (dice === 1) await fixture.cutConnections();
        else if (dice < 5) await group.rebuild(modelViews[random.below(modelViews.length)]?.name ?? "rates");
        else if (dice < 8) await look();
      }
      await look();
    };
    if (canary) return await assert.rejects(run, { code: "ERR_ASSERTION" });
    await run();
    await watch.end();
    t.diagnostic(`${watch.looks} looks at ${watch.seen.size} versions`);
  });
}

/** Sums are texts in rows. */
function numbers(row: Record<string, unknown>): Record<string, unknown> {
  return {
    ...row,
    ...("tax" in row && row.tax !== null ? { tax: Number(row.tax) } : {}),
    ...("n" in row ? { n: Number(row.n) } : {}),
  };
}

const forgets = `
  create function forget_some() returns trigger language plpgsql as $$
  begin return case when new._millrace_offset % 5 = 0 then null else new end; end $$;
  create trigger forget_some before insert on millrace."rates__history" for each row execute function forget_some();`;

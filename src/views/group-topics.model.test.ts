import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { type Random, seededRandom } from "../base/random.ts";
import { topic, type ViewDefinition } from "../catalog/definitions.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { LawWatch } from "./builds-fixture.ts";
import { assertChanges, type Seen } from "./changes-fixture.ts";
import type { Group } from "./group.ts";
import { live, ViewsFixture, viewOf } from "./group-fixture.ts";
import { StagedTable } from "./staging.ts";
import { type Message, publish, settled, tableOf } from "./topics-fixture.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(performance.now() * 1e6) % 1e9);

/** One after the other: each has what another lacks, or means it otherwise. */
const schemas = [
  { n: { type: "integer" }, who: { type: "string" } },
  { n: { type: "integer" }, who: { type: "string" }, more: { type: "string" } },
  { n: { type: "number" }, who: { type: "string" }, more: { type: "integer" } },
].map((own) => ({ type: "object", properties: { ...own, at: { type: "string", format: "date-time" } } }) as const);
const events: readonly TableShape[] = schemas.map((schema) =>
  tableOf(topic("events", { schema, watermark: { time: "at", lateness: "10s" } })),
);
const people = tableOf(topic("people", { cleanup: "compact", schema: schemas[0] as (typeof schemas)[number] }));

const queries: readonly (readonly [name: string, query: string, key: string | string[]])[] = [
  ["all_events", "select _partition, _offset, _key, n, who, _value from topics.events", ["_partition", "_offset"]],
  ["by_who", "select who, count(*) as c, sum(n) as total, max(n) as most from topics.events group by who", "who"],
  ["known", "select _key as id, who, n from topics.people", "id"],
  [
    "met",
    "select p._key as id, p.who, count(e.n) as c from topics.people p left join topics.events e on e.who = p.who group by p._key, p.who",
    "id",
  ],
];
const views: readonly ViewDefinition[] = queries.map(([name, query, key]) => viewOf(name, query, key));
const otherViews = queries.map(([name, query, key]) => {
  return viewOf(name, /count\(/.test(query) ? `${query} having true` : `${query} where true`, key);
});
const names = queries.map(([name]) => name);

/** Watermarks that are not the latest time before the record, less the lateness. */
const wrongWatermarks =
  "select * from (select _partition, _offset, _watermark, max(case when millrace.rfc3339_moment(_value -> 'at') is not null then least(millrace.rfc3339_moment(_value -> 'at'), _time) end) over " +
  "(partition by _partition order by _offset rows between unbounded preceding and 1 preceding) - interval '10 s' as wanted " +
  "from topics.events) w where _watermark is distinct from wanted";

/** What the topics have, as a reader of everything that was committed would fold it. */
class Model {
  events: string[] = [];
  readonly people = new Map<string, string>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  value(): string {
    const dice = this.#random.below(12);
    if (dice === 0)
      return ["{", "", '"\\u0000"', "[1]", '{"n":"one"}', '{"n":1.5,"who":null}'][this.#random.below(6)] ?? "";
    const minute = `0${this.#random.below(9)}`;
    const at = [`2026-01-01T00:${minute}:00Z`, `2126-01-01T00:${minute}:00Z`, "soon"][this.#random.below(3)];
    return JSON.stringify({
      n: this.#random.below(9) - 3,
      who: "abcd"[this.#random.below(4)],
      at,
      more: this.#random.below(2),
    });
  }

  event(): Message {
    return { value: this.value() };
  }

  person(): Message & { readonly key: string } {
    return { key: "wxyz"[this.#random.below(4)] ?? "w", value: this.#random.below(4) === 0 ? null : this.value() };
  }

  told(of: "events" | "people", { key = "", value }: Message): void {
    if (of === "events") this.events.push(String(value));
    else if (value === null) this.people.delete(key);
    else this.people.set(key, String(value));
  }
}

async function happens(fixture: ViewsFixture, model: Model, random: Random): Promise<void> {
  const of = random.below(2) === 0 ? "events" : "people";
  if (random.below(4) === 0) return await transacts(fixture, model, random);
  const messages = Array.from({ length: 1 + random.below(6) }, () =>
    of === "events" ? model.event() : model.person(),
  );
  await publish(fixture, of, ...messages);
  for (const message of messages) model.told(of, message);
}

/** Both topics in one transaction of the log, which counts when it is committed. */
async function transacts(fixture: ViewsFixture, model: Model, random: Random): Promise<void> {
  const producer = await fixture.engine.initProducer("test/model");
  const transaction = producer.begin();
  const written: (readonly ["events" | "people", Message])[] = [];
  for (let n = random.below(4); n >= 0; n--) {
    const [to, message] =
      random.below(2) === 0 ? (["events", model.event()] as const) : (["people", model.person()] as const);
    const value = message.value === null ? null : Buffer.from(String(message.value));
    const key = message.key === undefined ? null : Buffer.from(message.key);
    await transaction.append({ topic: to, partition: 0, batch: encodeBatch([{ key, value }], 0) });
    written.push([to, message]);
  }
  if (random.below(3) === 0) return await transaction.abort();
  await transaction.commit();
  for (const [to, message] of written) model.told(to, message);
}

async function assertRight(fixture: ViewsFixture, model: Model): Promise<void> {
  const eventRows = await fixture.rows("select case when _problem is null then _value end as v from topics.events");
  const personRows = await fixture.rows(
    "select _key as k, case when _problem is null then _value end as v from topics.people",
  );
  const expected = await fixture.pool.query(
    "select row_to_json(q)::text as row from (select case when pg_input_is_valid(v, 'jsonb') then v::jsonb end as v from jsonb_array_elements_text($1::jsonb) v) q order by 1",
    [JSON.stringify(model.events)],
  );
  assert.deepEqual(
    eventRows,
    expected.rows.map(({ row }) => row),
    "events",
  );
  const known = await fixture.pool.query(
    "select row_to_json(q)::text as row from (select r ->> 0 as k, case when pg_input_is_valid(r ->> 1, 'jsonb') then (r ->> 1)::jsonb end as v from jsonb_array_elements($1::jsonb) r) q order by 1",
    [JSON.stringify([...model.people])],
  );
  assert.deepEqual(
    personRows,
    known.rows.map(({ row }) => row),
    "people",
  );
  assert.deepEqual(await fixture.rows(wrongWatermarks), [], "watermarks");
  for (const [name, query] of queries) {
    assert.deepEqual(await fixture.rows(`select * from views.${name}`), await fixture.rows(query), name);
  }
}

async function runs(random: Random, rounds: number): Promise<string> {
  await using fixture = await ViewsFixture.open();
  const { engine } = fixture;
  let partitions = 1;
  let shape = 0;
  const shapes = () => [events[shape] as TableShape, people];
  await engine.createTopic("events", {});
  await engine.createTopic("people", { cleanup: "compact" });
  const model = new Model(random);
  const seen = new Map<string, Seen>();
  const open = (defined = views): Promise<Group> =>
    fixture.group(defined, { topics: shapes(), bound: { changesMax: 1 + random.below(40), bytesMax: 1 << 20 } });
  await happens(fixture, model, random);
  let group = await open(views.slice(0, 2));
  await using watch = await LawWatch.open(fixture);
  await live(group);
  await group.reload(views);
  const check = async () => {
    await settled(fixture, group, "events", "people");
    await assertRight(fixture, model);
    await assertChanges(fixture, group, names, seen);
  };
  for (let round = 0; round < rounds; round++) {
    for (let n = random.below(6); n >= 0; n--) await happens(fixture, model, random);
    const dice = random.below(16);
    if (dice === 0) {
      await fixture.kill(group);
      group = await open();
    } else if (dice === 1) {
      await fixture.cutConnections();
    } else if (dice === 2) {
      await group.rebuild("met");
    } else if (dice === 3 && partitions < 4) {
      partitions++;
      await engine.alterTopic("events", { partitions });
    } else if (dice === 4) {
      await engine.deleteTopic("events");
      await engine.createTopic("events", { partitions });
      model.events = [];
      await group.reload(views);
    } else if (dice < 8) {
      shape = random.below(events.length);
      await group.reload(views, undefined, shapes());
    } else if (dice < 10) {
      await group.reload(views.map((view, i) => (random.below(2) === 0 ? (otherViews[i] ?? view) : view)));
    } else if (dice < 13) {
      await check();
    }
  }
  await group.reload(views);
  await check();
  await watch.end();
  return `${watch.looks} looks at ${watch.seen.size} versions`;
}

test("mirrors are what their topics have and views are their queries, whatever becomes of topics, schemas and the group", async (t) => {
  t.diagnostic(`seed ${seed}`);
  t.diagnostic(await runs(seededRandom(seed), 30));
});

test("the model sees a record that is passed over", async () => {
  const { apply } = StagedTable.prototype;
  let records = 0;
  const forgetful = mock.method(
    StagedTable.prototype,
    "apply",
    function (this: StagedTable, ...row: Parameters<typeof apply>) {
      if (++records % 3 === 0) return;
      apply.apply(this, row);
    },
  );
  try {
    await assert.rejects(runs(seededRandom(1), 10));
  } finally {
    forgetful.mock.restore();
  }
});

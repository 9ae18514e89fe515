import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { eventually } from "../../test/support/program.ts";
import { MillraceError } from "../base/errors.ts";
import { type HoldPlace, Holds, LawWatch } from "./builds-fixture.ts";
import type { Group } from "./group.ts";
import { live, until, ViewsFixture, viewOf } from "./group-fixture.ts";
import { Recording } from "./recording.ts";
import { type FixtureChange, type SourceFixture, tableShape } from "./source-fixture.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer_id integer", "status text", "amount integer"]);
const customers = tableShape("shop", "customers", ["id integer", "name text"]);

const byStatus = "select status, count(*) as n, sum(amount) as amount from shop.orders group by status";
const cards = "select o.id, o.status, c.name from shop.orders o join shop.customers c on c.id = o.customer_id";
const names =
  "select c.name, count(*) as n from shop.orders o join shop.customers c on c.id = o.customer_id group by c.name";
/** Run again by key. */
const newest =
  "select c.id, c.name, max(o.id) as newest from shop.customers c left join shop.orders o on o.customer_id = c.id group by c.id, c.name";
const statusView = viewOf("by_status", byStatus, "status");
const cardsView = viewOf("cards", cards, "id");
const newestView = viewOf("newest", newest, "id");

const order = (id: number, status = "new", customer = 1): FixtureChange => ({
  table: orders,
  insert: [`${id}`, `${customer}`, status, "1"],
});
const changed = (id: number, status: string, customer = 1): FixtureChange => ({
  table: orders,
  update: [`${id}`, `${customer}`, status, "2"],
});
const customer = (id: number, name: string): FixtureChange => ({ table: customers, insert: [`${id}`, name] });
const renamed = (id: number, name: string): FixtureChange => ({ table: customers, update: [`${id}`, name] });
const gone = (id: number): FixtureChange => ({ table: orders, delete: [`${id}`, null, null, null] });

const first = [customer(1, "Ada"), customer(2, "Bob"), order(10), order(11, "paid", 2)];

function progressOf(group: Group, view: string): string {
  const { state } = group.info(view);
  if (state.kind === "building") return state.reason;
  return state.kind === "live" ? (state.replacement?.reason ?? "live") : state.kind;
}

const reached = (group: Group, view: string, reason: RegExp) =>
  until(group, () => reason.test(progressOf(group, view)));

async function assertRight(fixture: ViewsFixture, views: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, query] of Object.entries(views)) {
    assert.deepEqual(await fixture.rows(`select * from views.${name}`), await fixture.rows(query), name);
  }
}

/** What changes every part of a join: both of its sides, rows that come and rows that go. */
async function muchHappens(shop: SourceFixture, from: number): Promise<void> {
  await shop.commit(order(from), order(from + 1, "paid", 2));
  await shop.commit(renamed(1, `Ada ${from}`), changed(from, "sent", 2), gone(from + 1));
  await shop.commit(
    changed(10, "sent"),
    customer(from, "new"),
    order(from + 2, "new", from),
    renamed(2, `Bob ${from}`),
  );
}

async function opened(fixture: ViewsFixture, views = [statusView]): Promise<{ shop: SourceFixture; group: Group }> {
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group(views);
  await shop.snapshot(first);
  await live(group);
  return { shop, group };
}

test("a view that takes long to be filled holds up no batch of another, and is its query once it can be read", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await opened(fixture);
  await using holds = await Holds.open(fixture);
  await using watch = await LawWatch.open(fixture);
  await holds.hold("filling");
  await group.reload([statusView, cardsView]);
  await reached(group, "cards", /is being filled/);
  const { batch, generation } = group.position();
  for (let i = 0; i < 5; i++) {
    await shop.commit(order(100 + i, "late"), renamed(1, `Ada ${i}`));
    await fixture.settled(group);
    await assertRight(fixture, { by_status: byStatus });
  }
  assert.deepEqual(group.position(), { generation, batch: batch + 5 });
  assert.throws(() => group.readable("cards"), { code: "VIEW_BUILDING" });
  await muchHappens(shop, 200);
  await fixture.settled(group);
  await holds.release("filling");
  await live(group);
  assert.equal(group.position().generation, generation + 1);
  await assertRight(fixture, { by_status: byStatus, cards });
  await muchHappens(shop, 300);
  await fixture.settled(group);
  await assertRight(fixture, { by_status: byStatus, cards });
  await watch.end();
  assert.ok(watch.seen.has("cards/1") && watch.seen.has("by_status/1"));
});

test("a view that is defined anew is read and kept right as it was, until its next version takes its place at once", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await opened(fixture, [statusView, cardsView]);
  await using holds = await Holds.open(fixture);
  await using watch = await LawWatch.open(fixture);
  const { generation } = group.position();
  const paid = `${cards} where o.status = 'paid'`;
  await holds.hold("filling");
  await group.reload([statusView, viewOf("cards", paid, "id")]);
  await reached(group, "cards", /is being filled/);
  await muchHappens(shop, 100);
  await fixture.settled(group);
  assert.equal(group.readable("cards").version, 1);
  assert.equal(group.info("cards").sql, cards);
  assert.equal(group.position().generation, generation);
  await assertRight(fixture, { by_status: byStatus, cards });
  await holds.release("filling");
  await live(group);
  assert.equal(group.readable("cards").version, 2);
  assert.equal(group.info("cards").sql, paid);
  assert.equal(group.position().generation, generation + 1);
  await assertRight(fixture, { by_status: byStatus, cards: paid });
  assert.deepEqual(await fixture.rows(`select * from ${group.readable("cards").logTable}`), []);
  await watch.end();
  assert.ok(watch.seen.has("cards/1"));
});

test("a view over a view changes with it, and is right as it was until then, after a restart as well", async () => {
  await using fixture = await ViewsFixture.open();
  const upper = viewOf("upper", "select c.id from views.cards c", "id");
  const { shop, group } = await opened(fixture, [cardsView, upper]);
  await shop.commit(order(40, "paid"));
  await fixture.settled(group);
  await assertRight(fixture, { upper: `select id from (${cards}) c` });
  await using holds = await Holds.open(fixture);
  const paid = `${cards} where o.status = 'paid'`;
  await holds.hold("filling");
  await group.reload([viewOf("cards", paid, "id"), upper]);
  await reached(group, "cards", /is being filled/);
  await fixture.kill(group);
  const next = await fixture.group([viewOf("cards", paid, "id"), upper]);
  await reached(next, "cards", /is being filled/);
  await shop.commit(order(41, "late"));
  await fixture.settled(next);
  assert.equal(next.readable("upper").version, 1);
  await assertRight(fixture, { upper: `select id from (${cards}) c` });
  await holds.release("filling");
  await live(next);
  assert.equal(next.readable("upper").version, 2);
  await assertRight(fixture, { upper: `select id from (${paid}) c` });
});

test("a definition that goes back to what is read needs no building, and one that changes on ends what is being built", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await opened(fixture, [statusView, cardsView]);
  await using holds = await Holds.open(fixture);
  await holds.hold("filling");
  const variant = (status: string) => viewOf("cards", `${cards} where o.status = '${status}'`, "id");
  await group.reload([statusView, variant("paid")]);
  await reached(group, "cards", /is being filled/);
  await group.reload([statusView, cardsView]);
  await live(group);
  assert.equal(group.readable("cards").version, 1);
  await group.reload([statusView, variant("new")]);
  await reached(group, "cards", /is being filled/);
  await group.reload([statusView, variant("sent")]);
  await reached(group, "cards", /is being filled/);
  await muchHappens(shop, 100);
  await holds.release("filling");
  await live(group);
  await fixture.settled(group);
  await assertRight(fixture, { by_status: byStatus, cards: `${cards} where o.status = 'sent'` });
});

test("what is recorded is merged in bounded passes, between which other batches go on", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await opened(fixture);
  const customersOrders = Array.from({ length: 3_000 }, (_, i) => order(1_000 + i));
  await shop.commit(...customersOrders);
  await fixture.settled(group);
  await using holds = await Holds.open(fixture);
  await holds.hold("filling");
  await group.reload([statusView, cardsView]);
  await reached(group, "cards", /is being filled/);
  for (let i = 0; i < 8; i++) {
    // Each is a row less and a row more for each order.
    await shop.commit(renamed(1, `Ada ${i}`), changed(1_000 + i, "paid"), gone(2_000 + i));
    await fixture.settled(group);
  }
  const { batch } = group.position();
  await holds.release("filling");
  await live(group);
  // Eight steps of six thousand do not fit five passes.
  assert.ok(group.position().batch - batch > 5, `${group.position().batch - batch} transactions`);
  await assertRight(fixture, { by_status: byStatus, cards });
});

test("a huge transaction in parts is recorded as well", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([statusView], { bound: { changesMax: 20, bytesMax: 1 << 20 } });
  await shop.snapshot(first);
  await live(group);
  await using holds = await Holds.open(fixture);
  await holds.hold("filling");
  const all = [statusView, cardsView, viewOf("names", names, "name"), newestView];
  await group.reload(all);
  await reached(group, "cards", /is being filled/);
  const many = Array.from({ length: 150 }, (_, i) => order(100 + i, `s${i % 3}`, 1 + (i % 2)));
  await shop.commit(...many, ...many.slice(0, 60).map((_, i) => gone(100 + i)), renamed(1, "Eve"));
  await shop.commit({ table: customers, truncate: true }, customer(1, "Zoe"));
  await fixture.settled(group);
  await holds.release("filling");
  await live(group);
  await assertRight(fixture, { by_status: byStatus, cards, names, newest });
});

test("a view that is run again by key is its query over what stands when the keys that were recorded are merged", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await opened(fixture);
  await using holds = await Holds.open(fixture);
  await using watch = await LawWatch.open(fixture);
  await holds.hold("filling");
  await group.reload([statusView, newestView]);
  await reached(group, "newest", /is being filled/);
  assert.equal(group.info("newest").class, "keyed");
  for (let i = 1; i < 6; i++) {
    await muchHappens(shop, 100 * i);
    await fixture.settled(group);
  }
  await holds.release("filling");
  await live(group);
  await assertRight(fixture, { by_status: byStatus, newest });
  await muchHappens(shop, 900);
  await fixture.settled(group);
  await assertRight(fixture, { by_status: byStatus, newest });
  await watch.end();
  assert.ok(watch.seen.has("newest/1"));
});

test("a build whose own connection drops is begun again, and the batches go on upon theirs", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await opened(fixture);
  await using holds = await Holds.open(fixture);
  await holds.hold("filling");
  await group.reload([statusView, cardsView]);
  await reached(group, "cards", /is being filled/);
  await shop.commit(order(100));
  await fixture.settled(group);
  const { batch, generation } = group.position();
  await holds.cutOthers("% build");
  await reached(group, "cards", /is tried again/);
  assert.equal(group.condition().kind, "running");
  await muchHappens(shop, 200);
  await fixture.settled(group);
  await assertRight(fixture, { by_status: byStatus });
  assert.ok(group.position().batch > batch);
  assert.equal(group.position().generation, generation);
  await holds.release("filling");
  await live(group);
  await assertRight(fixture, { by_status: byStatus, cards });
});

test("a fill that fails, and terms that fail while a view is filled, make that view fail and hold up nothing", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await opened(fixture);
  await using holds = await Holds.open(fixture);
  const numbers = viewOf("numbers", "select id, status::integer as n from shop.orders", "id");
  await group.reload([statusView, numbers]);
  await until(group, () => group.info("numbers").state.kind === "failed");
  const failed = group.info("numbers").state;
  assert.equal(failed.kind === "failed" && failed.error.details.sqlState, "22P02");
  await shop.commit(changed(10, "1"), changed(11, "2"));
  await fixture.settled(group);
  await holds.hold("filling");
  await group.rebuild("numbers");
  await reached(group, "numbers", /is being filled/);
  await shop.commit(order(12, "no number"));
  await fixture.settled(group);
  await until(group, () => group.info("numbers").state.kind === "failed");
  await assertRight(fixture, { by_status: byStatus });
  await holds.release("filling");
  const left = "select from pg_tables where schemaname = 'millrace' and tablename ~ '^numbers__'";
  await eventually(async () => (await fixture.rows(left)).length === 0 || undefined);
  // The version that was to be replaced goes with the definition that failed.
  await group.reload([statusView, viewOf("numbers", "select id, status as n from shop.orders", "id")]);
  await live(group);
  await group.reload([statusView, numbers]);
  await until(group, () => group.info("numbers").state.kind === "failed");
  assert.throws(() => group.readable("numbers"), { code: "VIEW_FAILED" });
});

test("a version that fails while its next one is built leaves the place to that one", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("numbers", "select id, status::integer as n from shop.orders", "id")]);
  await shop.snapshot([order(1, "7")]);
  await live(group);
  await using holds = await Holds.open(fixture);
  await holds.hold("filling");
  const texts = "select id, status as n from shop.orders";
  await group.reload([viewOf("numbers", texts, "id")]);
  await reached(group, "numbers", /is being filled/);
  assert.equal(group.readable("numbers").version, 1);
  await shop.commit(order(2, "no number"));
  await fixture.settled(group);
  assert.throws(() => group.readable("numbers"), { code: "VIEW_BUILDING" });
  await holds.release("filling");
  await live(group);
  await assertRight(fixture, { numbers: texts });
});

const lifeEvents: Readonly<Record<string, (shop: SourceFixture) => Promise<unknown>>> = {
  "another snapshot": (shop) => shop.snapshot([customer(1, "Ada"), order(10), order(11, "sent")]),
  "a table that is read anew": async (shop) => {
    const id = await shop.beginTable(orders);
    await shop.tableChunk(id, [order(10), order(12, "sent")]);
    await shop.endTable(id);
  },
  "a table with more columns": (shop) =>
    shop.changeShape(
      tableShape("shop", "orders", [
        ...orders.columns.map(({ name, storeType }) => `${name} ${storeType}`),
        "note text",
      ]),
    ),
};

for (const [what, happens] of Object.entries(lifeEvents)) {
  test(`${what} waits for no build of a view that reads it: the build begins again behind it`, async () => {
    await using fixture = await ViewsFixture.open();
    const { shop, group } = await opened(fixture);
    await using holds = await Holds.open(fixture);
    await holds.hold("filling");
    await group.reload([statusView, cardsView]);
    await reached(group, "cards", /is being filled/);
    await happens(shop);
    await shop.commit(order(500, "behind"));
    await fixture.settled(group);
    assert.equal((await fixture.rows("select from shop.orders where id = 500")).length, 1);
    await holds.release("filling");
    await live(group);
    await assertRight(fixture, { by_status: byStatus, cards });
  });
}

/** A transaction of a reader that has read something; ended by what is answered, or with its connection. */
async function reading(fixture: ViewsFixture, begin: string, query: string): Promise<() => Promise<void>> {
  const client = await fixture.pool.connect();
  client.on("error", () => {});
  await client.query(begin);
  await client.query(query);
  return async () => {
    await client.query("rollback").catch(() => {});
    client.release(true);
  };
}

test("readers who hold on to the version before put the swap off, and hold up no batch", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await opened(fixture, [statusView, cardsView]);
  const leave = await reading(fixture, "begin", "select * from views.cards");
  const news = `${cards} where o.status = 'new'`;
  await group.reload([statusView, viewOf("cards", news, "id")]);
  await reached(group, "cards", /waits for readers/);
  const { batch } = group.position();
  await shop.commit(order(100));
  await fixture.settled(group);
  assert.equal(group.position().batch, batch + 1);
  await assertRight(fixture, { by_status: byStatus, cards });
  await leave();
  await live(group);
  await assertRight(fixture, { by_status: byStatus, cards: news });
});

type Bring = (fixture: ViewsFixture, group: Group, holds: Holds, shop: SourceFixture) => Promise<() => Promise<void>>;

const simpleCards = "select id, status from shop.orders";
/** Its columns cannot take the place of the others without the public view being made anew. */
const namedCards = "select c.name, o.id, o.status from shop.orders o join shop.customers c on c.id = o.customer_id";
const withNamedCards = [statusView, viewOf("cards", namedCards, "id")];

/** Each brings the build of `cards`, whose version before is read, to a place, and answers what lets it go on. */
const places: Readonly<Record<string, Bring>> = {
  "before it has its tables": (_, group, holds) => heldAt(group, holds, "preparing", /waits until its tables/),
  "while it makes an index": async (fixture, group) => {
    const leave = await reading(fixture, "begin isolation level repeatable read", "select from shop.orders");
    await group.reload(withNamedCards);
    await reached(group, "cards", /waits for an index on "shop"."orders"/);
    return leave;
  },
  "in the midst of its fill": (_, group, holds) => heldAt(group, holds, "filling", /is being filled/),
  "while what was recorded is taken in": async (fixture, group, holds, shop) => {
    await shop.commit(...Array.from({ length: 3_000 }, (_, i) => order(1_000 + i)));
    await fixture.settled(group);
    const release = await heldAt(group, holds, "filling", /is being filled/);
    for (const name of ["Eve", "Fay"]) {
      // A row less and a row more for each order: both times do not fit one pass.
      await shop.commit(renamed(1, name));
      await fixture.settled(group);
    }
    const leave = await reading(fixture, "begin", 'lock table millrace."cards__2_log" in access share mode');
    await release();
    await reached(group, "cards", /waits for those who hold a lock/);
    return leave;
  },
  "when it waits to be swapped in": async (fixture, group) => {
    const leave = await reading(fixture, "begin", "select * from views.cards");
    await group.reload(withNamedCards);
    await reached(group, "cards", /waits for readers/);
    return leave;
  },
};

async function heldAt(group: Group, holds: Holds, place: HoldPlace, reason: RegExp): Promise<() => Promise<void>> {
  await holds.hold(place);
  await group.reload(withNamedCards);
  await reached(group, "cards", reason);
  return () => holds.release(place);
}

for (const [place, bring] of Object.entries(places)) {
  for (const crash of ["the process is killed", "the store's connections drop"]) {
    test(`a build that ends ${place}, because ${crash}, is begun anew, with nothing left of the first`, async () => {
      await using fixture = await ViewsFixture.open();
      const { shop, group } = await opened(fixture, [statusView, viewOf("cards", simpleCards, "id")]);
      await using holds = await Holds.open(fixture);
      const goOn = await bring(fixture, group, holds, shop);
      await shop.commit(order(100, "sent"), renamed(1, "Eve"));
      await fixture.settled(group);
      let next = group;
      if (crash === "the process is killed") {
        await fixture.kill(group);
        await goOn();
        next = await fixture.group(withNamedCards);
      } else {
        await holds.cutOthers();
        await goOn();
      }
      await muchHappens(shop, 200);
      await fixture.settled(next);
      await live(next);
      await assertRight(fixture, { by_status: byStatus, cards: namedCards });
      const left = "select from pg_tables where schemaname = 'millrace' and tablename ~ '_pending$'";
      assert.deepEqual(await fixture.rows(left), []);
      assert.deepEqual(await fixture.rows("select from pg_index where not indisvalid"), []);
    });
  }
}

/** Builds a view while much is recorded, under the watch of the law; `forget` leaves a batch out of what is merged. */
async function buildUnderWatch(t: TestContext, forget: boolean): Promise<void> {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await opened(fixture);
  await using holds = await Holds.open(fixture);
  await using watch = await LawWatch.open(fixture);
  await holds.hold("filling");
  await group.reload([statusView, cardsView]);
  await reached(group, "cards", /is being filled/);
  let steps = 0;
  const took = Recording.prototype.took;
  const mocked = t.mock.method(Recording.prototype, "took", function (this: Recording, step: number, rows: number) {
    // The last one: one that is forgotten before others is merged with them.
    if (++steps < 3 || !forget) took.call(this, step, rows);
  });
  for (let i = 0; i < 3; i++) {
    await shop.commit(order(100 + i));
    await fixture.settled(group);
  }
  await holds.release("filling");
  await live(group);
  mocked.mock.restore();
  await watch.end();
}

test("the watch of these tests notices a batch that is forgotten while a view is filled", async (t) => {
  await buildUnderWatch(t, false);
  await assert.rejects(buildUnderWatch(t, true), /cards, version 1, is not its query/);
});

test("the version that is built tells how far it is", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group } = await opened(fixture);
  await shop.commit(...Array.from({ length: 500 }, (_, i) => order(1_000 + i)));
  await fixture.settled(group);
  await using holds = await Holds.open(fixture);
  await holds.hold("filling");
  await group.reload([statusView, cardsView]);
  await until(group, () => {
    const { state } = group.info("cards");
    return state.kind === "building" && state.rowsDone > 0 && state.rowsEstimated !== null;
  });
  const error = await Promise.resolve()
    .then(() => group.readable("cards"))
    .catch((cause: unknown) => MillraceError.from(cause));
  assert.ok(error instanceof MillraceError && error.code === "VIEW_BUILDING");
  assert.match(error.message, /view "cards" is being filled from its mirrors/);
  assert.ok(Number(error.details.rowsDone) > 0);
  await holds.release("filling");
  await live(group);
  await assertRight(fixture, { cards });
});

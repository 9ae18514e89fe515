import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { testDatabase } from "../../test/support/postgres.ts";
import { systemClock } from "../base/clock.ts";
import { seededRandom } from "../base/random.ts";
import { group, sql, type ViewOptions, view } from "../catalog/definitions.ts";
import { openFeeds } from "../feeds/feeds.ts";
import { GroupsFixture, isLive, rowsOf, untilGroups } from "./groups-fixture.ts";
import { operator } from "./policy/caller.ts";
import { tableShape } from "./source-fixture.ts";
import type { RowQuery } from "./view-info.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer text", "amount integer"]);
const reports = group("reports");
const all: RowQuery = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };

function viewOf(name: string, text: string, options: ViewOptions = {}) {
  return view(name, sql(Object.assign([text], { raw: [text] })), options);
}

const list = viewOf("list", "select id, customer, amount from shop.orders", { key: "id" });
const sums = "select customer, count(*) as n, sum(amount) as total from shop.orders group by customer";
const totals = viewOf("totals", sums, { key: "customer", group: reports });
const both = [reports, list, totals];

async function house() {
  const fixture = await GroupsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  await shop.snapshot([
    { table: orders, insert: ["1", "ann", "10"] },
    { table: orders, insert: ["2", "bob", "20"] },
  ]);
  return { fixture, shop };
}

suite("several groups of views", () => {
  test("a view is built anew in the group that it is in", async () => {
    const { fixture } = await house();
    await using _ = fixture;
    const groups = await fixture.groups(both);
    await untilGroups(groups, () => isLive(groups, "list", "totals"));
    const versions = (name: string) => groups.reader.position(name).generation;
    const [before, beside] = [versions("totals"), versions("list")];
    await groups.rebuild("totals");
    await untilGroups(groups, () => versions("totals") > before);
    assert.equal(versions("list"), beside);
    await assert.rejects(groups.rebuild("nothing"), { code: "VIEW_UNKNOWN" });
  });

  test("each keeps its views in its own database from the same tables, and says which it is", async () => {
    const { fixture, shop } = await house();
    await using _ = fixture;
    const groups = await fixture.groups(both);
    await untilGroups(groups, () => isLive(groups, "list", "totals"));
    await shop.commit({ table: orders, insert: ["3", "ann", "5"] });
    await fixture.settled(groups, "list", "totals");
    assert.deepEqual(await rowsOf(groups, "totals"), [
      { customer: "ann", n: "2", total: "15" },
      { customer: "bob", n: "1", total: "20" },
    ]);
    assert.equal((await rowsOf(groups, "list")).length, 3);
    assert.deepEqual(
      groups.reader.list().map(({ name, group }) => [name, group]),
      [
        ["list", undefined],
        ["totals", "reports"],
      ],
    );
    assert.equal(groups.reader.info("totals").group, "reports");
    const states = groups.status().map(({ name, condition }) => [name, condition.kind]);
    assert.deepEqual(states, [
      ["main", "running"],
      ["reports", "running"],
    ]);
    // Whatever answers with a position says whose it is.
    const { position } = await groups.reader.rows("totals", all);
    const row = await groups.reader.row("totals", ["ann"], null);
    const many = await groups.reader.readAll([{ view: "totals", query: all }]);
    const changes = await groups.reader.changesSince("totals", { ...position, batch: position.batch - 1 }, null);
    assert.equal(changes.outcome, "changes");
    const told = changes.outcome === "changes" ? [changes.upTo, ...changes.batches.map((one) => one.position)] : [];
    for (const one of [position, row.position, many.position, groups.reader.position("totals"), ...told]) {
      assert.equal(one.group, "reports");
    }
    assert.equal((await groups.reader.row("totals", ["ann"], null)).position.group, "reports", "from memory, too");
    // The same numbers are a place in their own group alone.
    const { generation, batch } = position;
    const other = await groups.reader.changesSince("totals", { generation, batch: batch - 1 }, null);
    assert.deepEqual(other, { outcome: "gap", reason: "the view is in another group now", current: position });
    assert.equal((await groups.reader.changesSince("list", position, null)).outcome, "gap");
    assert.equal(await groups.reader.changesOf("totals", { generation, batch }, null), null);
    assert.equal(await groups.reader.changesSinceEach("totals", { generation, batch }, [null]), null);
    assert.deepEqual(Object.keys((await groups.reader.rows("list", all)).position), ["generation", "batch"]);
    assert.deepEqual(
      groups.reader.rowCache().map(({ view, group }) => [view, group]),
      [["totals", "reports"]],
    );
    assert.deepEqual(
      groups.schemaFile().views.map(({ name }) => name),
      ["list", "totals"],
    );
    assert.match(await groups.reader.explain("totals"), /additive/);
  });

  test("what belongs to a view is in its group", async () => {
    const { fixture } = await house();
    await using _ = fixture;
    const rates = viewOf("rates", sums, { key: "customer", group: reports, history: true });
    const groups = await fixture.groups([reports, rates]);
    await untilGroups(groups, () => isLive(groups, "rates"));
    const { rows, position } = await groups.reader.rows("rates.history", all);
    assert.deepEqual([rows.length, position.group], [2, "reports"]);
    await groups.reload(fixture.work([reports]));
    assert.equal(
      (await groups.reader.rows("rates.history", all)).position.group,
      "reports",
      "also of one that is kept",
    );
  });

  test("who reads is known to each group", async () => {
    const { fixture } = await house();
    await using _ = fixture;
    const closed = viewOf("closed", "select id from shop.orders", { key: "id", group: reports, policy: "false" });
    const groups = await fixture.groups([reports, closed]);
    await untilGroups(groups, () => isLive(groups, "closed"));
    await assert.rejects(groups.reader.rows("closed", all), { code: "CALLER_UNKNOWN" });
    const { rows, position } = await groups.reader.as(operator).rows("closed", all);
    assert.deepEqual([rows.length, position.group], [2, "reports"]);
    const nobody = await groups.reader.as({ kind: "bearer", claims: {} }).rows("closed", all);
    assert.deepEqual(nobody.rows, []);
  });

  test("one snapshot is of one group", async () => {
    const { fixture } = await house();
    await using _ = fixture;
    const groups = await fixture.groups(both);
    await untilGroups(groups, () => isLive(groups, "list", "totals"));
    const reads = [
      { view: "list", query: all },
      { view: "totals", query: all },
    ];
    await assert.rejects(groups.reader.readAll(reads), {
      code: "READ_ACROSS_GROUPS",
      message: 'the reads are of views of groups "main" and "reports"',
    });
    await assert.rejects(groups.reader.query("select 1", { rowsMax: 1, timeoutMs: 1_000 }, undefined, "repots"), {
      code: "VIEW_GROUP_UNKNOWN",
      hint: "There are main, reports.",
    });
    const asked = await groups.reader.query(
      "select count(*) from views.totals",
      { rowsMax: 1, timeoutMs: 5_000 },
      undefined,
      "reports",
    );
    assert.deepEqual(asked.rows.flat().map(String), ["2"]);
    await assert.rejects(groups.reader.query("select * from views.totals", { rowsMax: 1, timeoutMs: 5_000 }), {
      code: "QUERY_INVALID",
    });
  });

  test("who has seen one group's view waits in another until that has what the first one showed", async () => {
    const { fixture, shop } = await house();
    await using _ = fixture;
    const groups = await fixture.groups(both);
    await untilGroups(groups, () => isLive(groups, "list", "totals"));
    for (let id = 10; id < 20; id++) {
      await shop.commit({ table: orders, insert: [String(id), "cid", "1"] });
      const [from, to] = id % 2 === 0 ? (["list", "totals"] as const) : (["totals", "list"] as const);
      await fixture.settled(groups, from);
      const { position } = await groups.reader.rows(from, all);
      await groups.reader.waitFor({ kind: "group", position }, 20_000, undefined, [{ view: to }]);
      const seen = id - 9;
      if (to === "totals") {
        assert.deepEqual(
          (await rowsOf(groups, "totals")).find((one) => (one as { customer: string }).customer === "cid"),
          {
            customer: "cid",
            n: String(seen),
            total: String(seen),
          },
        );
      } else assert.equal((await rowsOf(groups, "list")).length, 2 + seen);
    }
    await step("and does so while the other one is held up", async () => {
      fixture.goDown("reports");
      await shop.commit({ table: orders, insert: ["20", "dan", "1"] });
      await fixture.settled(groups, "list");
      const { position } = await groups.reader.rows("list", all);
      let isThere = false;
      const waiting = groups.reader.waitFor({ kind: "group", position }, 20_000, undefined, [{ view: "totals" }]);
      const told = waiting.then(() => {
        isThere = true;
      });
      await shop.commit({ table: orders, insert: ["21", "dan", "1"] });
      await fixture.settled(groups, "list");
      assert.equal(isThere, false);
      fixture.back("reports");
      await told;
      assert.ok((await rowsOf(groups, "totals")).some((one) => (one as { customer: string }).customer === "dan"));
    });
    const strange = { kind: "group", position: { group: "other", generation: 1, batch: 1 } } as const;
    await assert.rejects(groups.reader.waitFor(strange, 100, undefined, [{ view: "list" }]), { code: "TOKEN_FOREIGN" });
  });

  test("a group whose store is away takes nothing from the others, and catches up when it is back", async () => {
    const { fixture, shop } = await house();
    await using _ = fixture;
    fixture.down.add("reports");
    const groups = await fixture.groups(both);
    await untilGroups(groups, () => isLive(groups, "list"));
    await shop.commit({ table: orders, insert: ["3", "ann", "5"] });
    await fixture.settled(groups, "list");
    assert.equal((await rowsOf(groups, "list")).length, 3);
    await assert.rejects(groups.reader.rows("totals", all), {
      code: "STORE_UNAVAILABLE",
      message: 'group "reports": the server is away',
    });
    await assert.rejects(groups.reader.rows("nothing", all), { code: "VIEW_UNKNOWN" });
    const { state, name } = groups.reader.info("totals");
    assert.equal(name, "totals");
    assert.equal(state.kind === "failed" && state.error.code, "STORE_UNAVAILABLE");
    assert.equal(groups.status()[1]?.condition.kind, "waiting");
    // What was seen there before keeps no read of another group waiting.
    const before = { kind: "group", position: { group: "reports", generation: 9, batch: 9 } } as const;
    await groups.reader.waitFor(before, 20_000);
    // Who asks for what it showed is not answered without it.
    await assert.rejects(groups.reader.waitFor(before, 20_000, undefined, [{ view: "list" }]), {
      code: "STORE_UNAVAILABLE",
    });

    fixture.back("reports");
    await untilGroups(groups, () => isLive(groups, "totals"));
    await fixture.settled(groups, "totals");
    assert.equal((await rowsOf(groups, "totals")).length, 2);

    await step("and when it goes away later", async () => {
      fixture.goDown("reports");
      await untilGroups(groups, () => groups.status()[1]?.condition.kind === "waiting");
      await assert.rejects(groups.reader.rows("totals", all), { code: "STORE_UNAVAILABLE" });
      await shop.commit({ table: orders, insert: ["4", "dan", "7"] });
      await fixture.settled(groups, "list");
      assert.equal((await rowsOf(groups, "list")).length, 4);
      await groups.reload(fixture.work([...both, viewOf("more", "select id from shop.orders", { key: "id" })]));
      await untilGroups(groups, () => isLive(groups, "more"));
      fixture.back("reports");
      await untilGroups(groups, () => groups.status()[1]?.condition.kind === "running");
      await fixture.settled(groups, "totals");
      assert.equal((await rowsOf(groups, "totals")).length, 3);
    });
  });

  test("a view that moves to another group is built there and goes from where it was; a feed of it is told of a gap", async () => {
    const { fixture, shop } = await house();
    await using _ = fixture;
    const groups = await fixture.groups([reports, list, viewOf("totals", sums, { key: "customer" })]);
    await untilGroups(groups, () => isLive(groups, "list", "totals"));
    await using feeds = Object.assign(
      openFeeds({
        views: groups.reader,
        engine: fixture.engine,
        clock: systemClock,
      }),
      { [Symbol.asyncDispose]: async () => {} },
    );
    const feed = await feeds.openViewFeed({ view: "totals", filter: null, lastEventId: null });
    const first = (await feed.next()).value;
    assert.equal(first?.event, "snapshot");
    assert.match(String(first?.id), /^\d+\.\d+$/);

    await groups.reload(fixture.work(both));
    await untilGroups(groups, () => isLive(groups, "totals") && groups.reader.info("totals").group === "reports");
    assert.deepEqual(
      groups.reader.list().map(({ name, group }) => [name, group]),
      [
        ["list", undefined],
        ["totals", "reports"],
      ],
    );
    const left = await groups.reader.query("select viewname from pg_views where schemaname = 'views'", {
      rowsMax: 9,
      timeoutMs: 5_000,
    });
    assert.deepEqual(left.rows, [["list"]], "in start as well");
    const events: string[] = [];
    for (let id: string | null = null; id === null; ) {
      const { value } = await feed.next();
      events.push(String(value?.event));
      if (value?.event === "snapshot") id = value.id;
      if (id !== null) assert.match(id, /^reports:\d+\.\d+$/);
    }
    assert.deepEqual(
      events.filter((event) => event !== "progress"),
      ["gap", "snapshot"],
    );
    await shop.commit({ table: orders, insert: ["3", "ann", "5"] });
    const { value } = await feed.next();
    assert.match(String(value?.data), /"total":"15"/);
    const resumed = await feeds.openViewFeed({ view: "totals", filter: null, lastEventId: String(first?.id) });
    assert.equal((await resumed.next()).value?.event, "gap");
    const goesOn = await feeds.openViewFeed({ view: "totals", filter: null, lastEventId: String(value?.id) });
    assert.equal((await goesOn.next()).value?.event, "progress");
    await feeds.close();
  });

  test("groups come and go with their definitions; one that comes back goes on", async () => {
    const { fixture, shop } = await house();
    await using _ = fixture;
    const groups = await fixture.groups([list]);
    await untilGroups(groups, () => isLive(groups, "list"));
    await groups.reload(fixture.work(both));
    await untilGroups(groups, () => isLive(groups, "totals"));
    const { generation } = groups.reader.position("totals");
    await groups.reload(fixture.work([list]));
    assert.throws(() => groups.reader.info("totals"), { code: "VIEW_UNKNOWN" });
    assert.deepEqual(
      groups.status().map(({ name }) => name),
      ["main"],
    );
    await shop.commit({ table: orders, insert: ["3", "ann", "5"] });
    await groups.reload(fixture.work(both));
    await untilGroups(groups, () => isLive(groups, "totals"));
    await fixture.settled(groups, "totals");
    assert.equal(groups.reader.position("totals").generation, generation, "nothing was built again");
    assert.equal((await rowsOf(groups, "totals")).length, 2);
  });

  test("a group with another store is built anew there, in a generation that nobody has seen", async () => {
    const { fixture } = await house();
    await using _ = fixture;
    const groups = await fixture.groups(both);
    await untilGroups(groups, () => isLive(groups, "totals"));
    const { generation } = groups.reader.position("totals");
    const old = fixture.databases.get("reports");
    fixture.databases.delete("reports");
    const elsewhere = group("reports", { store: "postgres://elsewhere/reports" });
    await groups.reload(fixture.work([elsewhere, list, totals]));
    await untilGroups(groups, () => isLive(groups, "totals"));
    await fixture.settled(groups, "totals");
    assert.equal((await rowsOf(groups, "totals")).length, 2);
    assert.ok(groups.reader.position("totals").generation > generation);
    await old?.[Symbol.asyncDispose]();
  });

  test("the database of another group is refused, and the others go on", async () => {
    const { fixture } = await house();
    await using _ = fixture;
    const first = await fixture.groups([list]);
    await untilGroups(first, () => isLive(first, "list"));
    const main = fixture.databases.get("main");
    assert.ok(main);
    fixture.databases.set("reports", main);
    await first.reload(fixture.work(both));
    const [, status] = first.status();
    assert.equal(status?.condition.kind, "stopped");
    assert.equal(status?.condition.kind === "stopped" && status.condition.error.code, "STORE_OF_ANOTHER_GROUP");
    await assert.rejects(first.reader.rows("totals", all), {
      code: "STORE_UNAVAILABLE",
      message: 'group "reports": the database of group "reports" has the views of group "main"',
    });
    assert.equal((await rowsOf(first, "list")).length, 2);
    fixture.databases.delete("reports");
  });

  test("of two groups that are given one empty database at the same moment, one has it", async () => {
    const { fixture } = await house();
    await using _ = fixture;
    const groups = await fixture.groups([list]);
    const database = await testDatabase();
    fixture.databases.set("reports", database);
    fixture.databases.set("others", database);
    const more = viewOf("more", sums, { key: "customer", group: "others" });
    await groups.reload(fixture.work([...both, group("others"), more]));
    const stopped = groups
      .status()
      .flatMap(({ condition }) => (condition.kind === "stopped" ? condition.error.code : []));
    assert.deepEqual(stopped, ["STORE_OF_ANOTHER_GROUP"]);
    await untilGroups(groups, () => isLive(groups, "totals") || isLive(groups, "more"));
    fixture.databases.delete("others");
  });

  test("both groups equal each other and their query, whatever happens to either of them", async () => {
    const { fixture, shop } = await house();
    await using _ = fixture;
    const seed = Number(process.env.MILLRACE_SEED ?? 7);
    const random = seededRandom(seed);
    const here = viewOf("here", sums, { key: "customer" });
    const groups = await fixture.groups([reports, here, totals]);
    await untilGroups(groups, () => isLive(groups, "here", "totals"));
    const rows = new Map([
      [1, { customer: "ann", amount: 10 }],
      [2, { customer: "bob", amount: 20 }],
    ]);
    const cells = (id: number) => [String(id), rows.get(id)?.customer ?? null, String(rows.get(id)?.amount)];
    for (let step = 0; step < 60; step++) {
      const id = random.below(12);
      const was = rows.has(id) ? cells(id) : null;
      if (was && random.next() < 0.3) {
        rows.delete(id);
        await shop.commit({ table: orders, delete: was });
      } else {
        rows.set(id, { customer: `c${random.below(4)}`, amount: random.below(50) });
        await shop.commit(was ? { table: orders, update: cells(id), was } : { table: orders, insert: cells(id) });
      }
      const one = random.next() < 0.5 ? "main" : "reports";
      if (random.next() < 0.15) fixture.goDown(one);
      if (random.next() < 0.3) for (const name of [...fixture.down]) fixture.back(name);
    }
    for (const name of [...fixture.down]) fixture.back(name);
    await fixture.settled(groups, "here", "totals");
    const expected = new Map<string, { n: number; total: number }>();
    for (const { customer, amount } of rows.values()) {
      const { n, total } = expected.get(customer) ?? { n: 0, total: 0 };
      expected.set(customer, { n: n + 1, total: total + amount });
    }
    const wanted = [...expected]
      .map(([customer, { n, total }]) => ({ customer, n: String(n), total: String(total) }))
      .sort((a, b) => (a.customer < b.customer ? -1 : 1));
    for (const name of ["here", "totals"]) {
      const found = (await rowsOf(groups, name)) as { customer: string }[];
      assert.deepEqual(
        found.sort((a, b) => (a.customer < b.customer ? -1 : 1)),
        wanted,
        `seed ${seed}`,
      );
    }
  });
});

async function step(name: string, take: () => Promise<void>): Promise<void> {
  try {
    await take();
  } catch (cause) {
    throw new Error(`not so: ${name}`, { cause });
  }
}

/** One computation of a view as a whole, when somebody else's came out first. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import pg from "pg";
import { VirtualClock } from "../base/virtual-clock.ts";
import { sql, view } from "../catalog/definitions.ts";
import { compileViewSync, loadParser } from "./compile.ts";
import { live, until, ViewsFixture } from "./group-fixture.ts";
import { type FixtureChange, tableShape } from "./source-fixture.ts";
import { ViewRefresh } from "./view-refresh.ts";

const orders = tableShape("shop", "orders", ["id integer", "amount integer"]);
const order = (id: number): FixtureChange => ({ table: orders, insert: [`${id}`, `${id}`] });
const query = "select id, amount from shop.orders order by amount desc, id limit 2";
const top = view("top", { ...sql``, text: query }, { refresh: "30s" });

before(loadParser);

for (const other of [false, true]) {
  test(`a computation ${other ? "of which another came out first changes nothing" : "is seen with what it wrote"}`, async () => {
    await using fixture = await ViewsFixture.open();
    const shop = await fixture.source("shop", [orders]);
    // Its time stands still: the group computes the view for the first change, and for no other.
    const group = await fixture.group([top], { clock: new VirtualClock() });
    await shop.snapshot([order(1), order(2), order(3)]);
    await live(group);
    await shop.commit(order(4));
    await fixture.settled(group);
    await until(group, () => group.position("top").batch === group.position().batch);
    await shop.commit(order(5));
    await fixture.settled(group);

    const compiled = compileViewSync({ view: top, mirrors: [{ id: 1, shape: orders }], version: 1 });
    assert.ok(compiled.whole);
    const staged = Promise.withResolvers<void>();
    const refresh = new ViewRefresh({
      group: "main",
      view: compiled,
      whole: compiled.whole,
      takesMsMax: 60_000,
      onStage: staged.resolve,
      connect: async () => {
        const client = new pg.Client({ connectionString: fixture.database.url });
        await client.connect();
        return client;
      },
    });
    await staged.promise;
    assert.equal(refresh.stage.kind, "written");
    const shown = () => fixture.rows("select id from views.top");
    const [old, fresh] = [
      [3, 4],
      [4, 5],
    ].map((ids) => ids.map((id) => `{"id":${id}}`));
    assert.deepEqual(await shown(), old);
    if (other) await fixture.pool.query("update millrace.top__1_reach set runs = runs + 1");
    const { rows } = await fixture.pool.query("select epoch::integer from millrace.groups");
    const { outcome } = await refresh.finish(rows[0].epoch);
    await refresh.stop(null);
    assert.equal(outcome, other ? "in vain" : "seen");
    assert.deepEqual(await shown(), other ? old : fresh);
  });
}

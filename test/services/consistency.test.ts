import assert from "node:assert/strict";
import { describe, test } from "node:test";
import pg from "pg";
import { connect } from "../../client/src/index.ts";
import type { FixtureChange } from "../../src/views/source-fixture.ts";
import { tables } from "./consistency/books.ts";
import { type Row, type State, viewNames, wrongIn, wrongSql } from "./consistency/judge.ts";
import { type Bank, openBank, prove } from "./consistency/proof.ts";

describe("every state that anybody sees is one that the source had", () => {
  test("over HTTP, in one request and in many, live, and in SQL, while transactions are applied and views swapped", async (t) => {
    const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
    t.diagnostic(`seed ${seed}`);
    const say = (line: string) => t.diagnostic(line);
    const report = await prove({ seed, states: 20_000, seconds: 6, sqlReaders: 1, swapEveryMs: 1_000, say });
    assert.ok(report.seen.hasAll && report.different > 10 && report.swaps > 0, JSON.stringify(report));
  });

  async function stateOf(
    bank: Bank,
    read: (view: string) => Promise<unknown>,
    order: readonly string[] = viewNames,
  ): Promise<State> {
    const state: Record<string, readonly Row[]> = {};
    for (const view of order) state[view] = (await read(view)) as readonly Row[];
    await bank.settled();
    return state;
  }

  async function sqlVerdict(bank: Bank): Promise<string | null> {
    const client = new pg.Client({ connectionString: bank.databaseUrl });
    await client.connect();
    try {
      return (await client.query<{ wrong: string | null }>(wrongSql)).rows[0]?.wrong ?? null;
    } finally {
      await client.end();
    }
  }

  test("canary: views that are read in two transactions are noticed", async () => {
    await using bank = await openBank(7);
    const app = connect(bank.url);
    for (const late of viewNames) {
      if (late === "strays" || late === "difference" || late === "over_join") continue;
      const state = await stateOf(
        bank,
        async (view) => {
          if (view !== late) return app.view(view).rows();
          // Whatever the transactions are, a few of them change what every view says.
          await bank.source.commitTogether(Array.from({ length: 20 }, () => bank.books.transaction()));
          await bank.settled();
          return app.view(view).rows();
        },
        [...viewNames.filter((view) => view !== late), late],
      );
      assert.notEqual(wrongIn(state, bank.books), null, `${late} is later than the others`);
      assert.equal(wrongIn(await stateOf(bank, (view) => app.view(view).rows()), bank.books), null);
    }
  });

  test("canary: half of a transaction is noticed, by each judge", async () => {
    await using bank = await openBank(8);
    const app = connect(bank.url);
    const read = () => stateOf(bank, (view) => app.view(view).rows());
    assert.deepEqual([wrongIn(await read(), bank.books), await sqlVerdict(bank)], [null, null]);
    const transfer = await nextTransfer(bank);
    await bank.source.commit(...transfer.slice(0, 3));
    await bank.settled();
    assert.notEqual(wrongIn(await read(), bank.books), null);
    assert.notEqual(await sqlVerdict(bank), null);
    await bank.source.commit(...transfer.slice(3));
    await bank.settled();
    assert.deepEqual([wrongIn(await read(), bank.books), await sqlVerdict(bank)], [null, null]);
  });

  /** What comes before it is written. */
  async function nextTransfer({ books, source }: Bank): Promise<readonly FixtureChange[]> {
    for (;;) {
      const changes = books.transaction();
      const accounts = changes.filter((one) => one.table === tables.accounts);
      if (accounts.length === 2 && accounts.every((one) => "update" in one)) return changes;
      await source.commit(...changes);
    }
  }
});

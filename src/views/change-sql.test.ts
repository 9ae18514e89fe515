import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { column, GroupFixture } from "./reader-fixture.ts";
import type { ChangesAnswer, Filter, GroupPosition, ViewChange } from "./view-info.ts";

const columns = [column("a", "integer", true), column("b", "text"), column("n", "numeric", true)];

function filter(operator: "eq" | "gt", value: string): Filter {
  return { kind: "compare", column: "n", operator, values: [value], negated: false };
}

function changesOf(answer: ChangesAnswer): [number, string, string | null, string | null][] {
  assert.ok(answer.outcome === "changes");
  return answer.batches.flatMap(({ position, changes }) => {
    return changes.map((one): [number, string, string | null, string | null] => [
      position.batch,
      one.op,
      one.key,
      one.row,
    ]);
  });
}

describe("change rows", () => {
  let fixture: GroupFixture;
  let start: GroupPosition;
  before(async () => {
    fixture = await GroupFixture.open();
    await fixture.createView("cells", { columns, key: ["a", "b"] });
    start = await fixture.commit("cells", {
      upsert: [
        { a: 1, b: "x", n: "1.50" },
        { a: null, b: "y", n: 2 },
      ],
    });
    await fixture.commit("cells", { upsert: [{ a: 1, b: "x", n: 7 }] });
    await fixture.commit("cells", { remove: [{ a: null, b: "y" }] });
    await fixture.commit("cells", { upsert: [{ a: 1, b: "x", n: "7.0" }] });
  });
  after(() => fixture[Symbol.asyncDispose]());

  test("are told per batch, the new row winning over the old, a row without a successor as a delete", async () => {
    const reader = fixture.reader();
    assert.deepEqual(changesOf(await reader.changesSince("cells", { ...start, batch: 0 }, null)), [
      [1, "upsert", '{"a":1,"b":"x"}', '{"a":1,"b":"x","n":"1.50"}'],
      [1, "upsert", '{"a":null,"b":"y"}', '{"a":null,"b":"y","n":"2"}'],
      [2, "upsert", '{"a":1,"b":"x"}', '{"a":1,"b":"x","n":"7"}'],
      [3, "delete", '{"a":null,"b":"y"}', null],
    ]);
    const none = await reader.changesSince("cells", fixture.group.position(), null);
    assert.deepEqual(none, { outcome: "changes", batches: [], upTo: fixture.group.position() });
  });

  test("of a row that leaves the filter are a delete, of one that enters it an upsert, of others nothing", async () => {
    const reader = fixture.reader();
    const below = { ...filter("gt", "5"), negated: true } as Filter;
    assert.deepEqual(changesOf(await reader.changesSince("cells", start, below)), [
      [2, "delete", '{"a":1,"b":"x"}', null],
      [3, "delete", '{"a":null,"b":"y"}', null],
    ]);
    assert.deepEqual(changesOf(await reader.changesSince("cells", start, filter("gt", "5"))), [
      [2, "upsert", '{"a":1,"b":"x"}', '{"a":1,"b":"x","n":"7"}'],
    ]);
    assert.deepEqual(changesOf(await reader.changesSince("cells", start, filter("eq", "99"))), []);
  });

  test("are filtered by every operator that rows are filtered by", async () => {
    await fixture.createView("wide", {
      columns: [column("id", "integer"), column("tags", "text[]"), column("doc", "jsonb", true), column("t", "text")],
      key: ["id"],
    });
    const from = await fixture.commit("wide", { upsert: [{ id: 1, tags: ["a"], doc: { k: "v" }, t: "cats" }] });
    await fixture.commit("wide", { upsert: [{ id: 1, tags: ["b"], doc: { k: "w" }, t: "dogs" }] });
    const reader = fixture.reader();
    const filters: Filter[] = [
      { kind: "compare", column: "tags", operator: "cs", values: ["{b}"], negated: false },
      {
        kind: "compare",
        column: "doc",
        path: { steps: ["k"], text: true },
        operator: "eq",
        values: ["w"],
        negated: false,
      },
      { kind: "compare", column: "t", operator: "wfts", config: "english", values: ["dog"], negated: false },
      { kind: "compare", column: "t", operator: "match", quantifier: "any", values: ["^d", "^x"], negated: false },
    ];
    for (const one of filters) {
      const entered = changesOf(await reader.changesSince("wide", from, one));
      assert.deepEqual(
        entered.map(([, op]) => op),
        ["upsert"],
        JSON.stringify(one),
      );
      const left = changesOf(await reader.changesSince("wide", from, { ...one, negated: true } as Filter));
      assert.deepEqual(
        left.map(([, op]) => op),
        ["delete"],
        JSON.stringify(one),
      );
      const { pages } = await reader.snapshot("wide", one);
      assert.equal((await Array.fromAsync(pages)).flat().length, 1);
    }
  });

  test("are a gap when they are no longer kept, of another generation, or ahead of the store", async () => {
    await using other = await GroupFixture.open();
    await other.createView("cells", { columns, key: ["a", "b"] });
    for (let i = 0; i < 4; i++) await other.commit("cells", { upsert: [{ a: i, b: "", n: null }] });
    await other.forget(3);
    const reader = other.reader();
    const current = { generation: 1, batch: 4 };
    const gap = (reason: RegExp, answer: ChangesAnswer, at: GroupPosition) => {
      assert.ok(answer.outcome === "gap");
      assert.match(answer.reason, reason);
      assert.deepEqual(answer.current, at);
    };
    gap(/no longer kept/, await reader.changesSince("cells", { generation: 1, batch: 1 }, null), current);
    assert.equal(changesOf(await reader.changesSince("cells", { generation: 1, batch: 2 }, null)).length, 2);
    gap(/ahead/, await reader.changesSince("cells", { generation: 1, batch: 5 }, null), current);
    assert.equal(await reader.changesOf("cells", { generation: 1, batch: 2 }, null), null);
    await other.beginGeneration();
    gap(/anew/, await reader.changesSince("cells", { generation: 1, batch: 4 }, null), { generation: 2, batch: 4 });
  });

  test("of an answer that is bounded come in whole batches, and one that is too large by pages", async () => {
    await fixture.createView("big", { columns, key: ["a", "b"] });
    const rows = (from: number, to: number, n: number) => {
      return Array.from({ length: to - from }, (_, i) => ({ a: from + i, b: "b", n }));
    };
    const from = fixture.group.position();
    await fixture.commit("big", { upsert: rows(0, 10, 1) });
    const large = await fixture.commit("big", { upsert: rows(0, 300, 2) });
    await fixture.commit("big", { remove: rows(0, 3, 0) });
    const reader = fixture.reader({ changesMax: 50, pageRowsMax: 7 });
    const seen: { batch: number; changes: readonly ViewChange[] }[] = [];
    for (let at = from; at.batch < fixture.group.position().batch; ) {
      const answer = await reader.changesSince("big", at, null);
      assert.ok(answer.outcome === "changes");
      for (const { position, changes, large } of answer.batches) {
        const pages = large ? ((await reader.changesOf("big", position, null)) ?? assert.fail()) : [];
        seen.push({ batch: position.batch, changes: large ? (await Array.fromAsync(pages)).flat() : changes });
      }
      at = answer.upTo;
    }
    assert.deepEqual(
      seen.map(({ batch, changes }) => [batch, changes.length]),
      [
        [large.batch - 1, 10],
        [large.batch, 300],
        [large.batch + 1, 3],
      ],
    );
    const keys = seen[1]?.changes.map((one) => one.key) ?? [];
    assert.equal(new Set(keys).size, 300);
    assert.ok(seen[1]?.changes.every((one) => one.op === "upsert"));
    const narrow = fixture.reader({ changesBytesMax: 1 });
    const first = await narrow.changesSince("big", from, null);
    assert.ok(first.outcome === "changes");
    assert.equal(first.batches[0]?.large, true);
  });

  test("applied to an earlier state give the later one, whatever the filter and the bounds", async () => {
    await fixture.createView("law", { columns, key: ["a", "b"] });
    const cell = fc.record({
      a: fc.constantFrom(null, 1, 2),
      b: fc.constantFrom("x", "y"),
      n: fc.constantFrom(null, 1, 2, 3, 4),
    });
    const keyOf = (one: { a: unknown; b: unknown }) => JSON.stringify([one.a, one.b]);
    const batch = fc.uniqueArray(fc.tuple(cell, fc.boolean()), { maxLength: 6, selector: ([one]) => keyOf(one) });
    const filters = fc.constantFrom<Filter | null>(null, filter("gt", "2"), filter("eq", "1"));
    await fc.assert(
      fc.asyncProperty(
        fc.array(batch, { maxLength: 6 }),
        filters,
        fc.integer({ min: 1, max: 9 }),
        async (batches, where, max) => {
          const reader = fixture.reader({ changesMax: max });
          const snapshot = async () => {
            const { pages, position } = await reader.snapshot("law", where);
            const rows = (await Array.fromAsync(pages)).flat();
            return { position, state: new Map(rows.map((row) => [keyOf(JSON.parse(row)), row])) };
          };
          const { position, state } = await snapshot();
          for (const changes of batches) {
            await fixture.commit("law", {
              upsert: changes.filter(([, goes]) => !goes).map(([one]) => one),
              remove: changes.filter(([, goes]) => goes).map(([one]) => one),
            });
          }
          for (let at = position; at.batch < fixture.group.position().batch; ) {
            const answer = await reader.changesSince("law", at, where);
            assert.ok(answer.outcome === "changes");
            for (const one of answer.batches) {
              const pages = one.large ? ((await reader.changesOf("law", one.position, where)) ?? []) : [one.changes];
              for await (const page of pages) {
                for (const { op, key, row } of page) {
                  const id = keyOf(JSON.parse(key ?? ""));
                  if (op === "upsert") state.set(id, row ?? assert.fail());
                  else assert.ok(state.delete(id), "a delete of a row that was not there");
                }
              }
            }
            at = answer.upTo;
          }
          const expected = (await snapshot()).state;
          assert.deepEqual(new Map([...state].sort()), new Map([...expected].sort()));
        },
      ),
      { numRuns: 40 },
    );
  });
});

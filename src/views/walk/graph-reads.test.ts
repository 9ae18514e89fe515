import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { column, GroupFixture, refusalOf } from "../reader-fixture.ts";
import type { Filter, ViewsReader } from "../view-info.ts";
import { directions, type ModelEdge, ModelGraph, randomEdges } from "./graph-model.fixture.ts";
import type { GraphAnswer, GraphQuery } from "./graph-query.ts";
import { graphOf, stepsSql } from "./graph-sql.ts";

const random = seededRandom(17);
const nodes = 40;
const edges = randomEdges(random, nodes, 90).map((edge, i) => ({
  ...edge,
  id: i + 1,
  kind: i % 3 === 0 ? "road" : "rail",
}));

type Kind = GraphQuery["kind"];
type Asked<K extends Kind> = Omit<Extract<GraphQuery, { kind: K }>, "kind">;
const all = { direction: "out", labels: null, filter: null, hops: null, nodesMax: 10_000 } as const;

describe("the graph of a view's edges", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    for (const [name, type] of [
      ["numbers", "integer"],
      ["bigs", "bigint"],
      ["texts", "text"],
      ["uuids", "uuid"],
    ] as const) {
      await fixture.createView(name, {
        columns: [
          column("id", "integer"),
          column("a", type, true),
          column("b", type, true),
          column("kind", "text"),
          column("km", "numeric", true),
        ],
        key: ["id"],
        reads: { graph: { from: "a", to: "b", label: "kind", weight: "km" } },
      });
      const upsert = edges.map(({ id, from, to, kind, weight }) => ({
        id,
        a: from === null ? null : spelt[name](from),
        b: to === null ? null : spelt[name](to),
        kind,
        km: weight,
      }));
      await fixture.commit(name, { upsert });
    }
    await fixture.createView("plain", { columns: [column("id", "integer")], key: ["id"] });
  });
  after(() => fixture[Symbol.asyncDispose]());

  /** How a node of the model is written in each of the views. */
  const spelt = {
    numbers: (node: string) => node,
    bigs: (node: string) => `90071992547409${node.padStart(3, "0")}`,
    texts: (node: string) => (Number(node) % 5 === 0 ? `${"long ".repeat(190)}${node}` : `n ${node}; it's "ö"`),
    uuids: (node: string) => `00000000-0000-4000-8000-${node.padStart(12, "0")}`,
  };
  const views = Object.keys(spelt) as (keyof typeof spelt)[];

  async function read<K extends Kind>(view: string, kind: K, query: Asked<K>) {
    const answer = await reader.graph(view, { kind, ...query } as unknown as GraphQuery);
    return answer as Extract<GraphAnswer, { kind: K }>;
  }
  const formOf = (view: keyof typeof spelt, node: string) => (view === "numbers" ? Number(node) : spelt[view](node));

  test("what is reached in each direction is what the model says, whatever nodes are", async () => {
    const graph = new ModelGraph(edges);
    for (const view of views) {
      for (const direction of directions) {
        for (const start of ["1", "7", "20"]) {
          const expected = graph.distances(start, direction, () => 1);
          expected.delete(start);
          const of = spelt[view](start);
          const { items, truncated } = await read(view, "reach", { ...all, direction, of });
          assert.equal(truncated, false);
          assert.deepEqual(
            new Map(items.map(({ node, hops }) => [node, hops])),
            new Map([...expected].map(([node, hops]) => [formOf(view, node), hops])),
          );
          assert.deepEqual(
            items,
            items.toSorted((a, b) => a.hops - b.hops),
          );
        }
      }
    }
  });

  test("neighbours are nodes with the number of their edges, by pages as at once", async () => {
    const graph = new ModelGraph(edges);
    for (const view of views) {
      for (const direction of directions) {
        for (let start = 1; start <= nodes; start += 3) {
          const expected = new Map<string, number>();
          for (const { node, next } of graph.stepsFrom(String(start), direction)) {
            expected.set(next, (expected.get(next) ?? 0) + 1);
            // An edge from a node to itself is there on both sides.
            if (node === next && direction === "both") expected.set(next, (expected.get(next) ?? 0) - 0.5);
          }
          const of = spelt[view](String(start));
          const found: { node: unknown; edges: number }[] = [];
          for (let cursor: string | null = null, more = true; more; more = cursor !== null) {
            const page: Extract<GraphAnswer, { kind: "neighbours" }> = await read(view, "neighbours", {
              direction,
              labels: null,
              filter: null,
              of,
              limit: 2,
              cursor,
            });
            found.push(...page.items);
            cursor = page.next;
          }
          assert.deepEqual(
            new Map(found.map((one) => [one.node, one.edges])),
            new Map([...expected].map(([node, count]) => [formOf(view, node), count])),
          );
          assert.equal(found.length, expected.size);
          if (view === "numbers") {
            assert.deepEqual(
              found,
              found.toSorted((a, b) => Number(a.node) - Number(b.node)),
            );
          }
        }
      }
    }
  });

  test("paths are rows of the view from one node to the other, the shortest and the cheapest", async () => {
    const ways = { hops: new ModelGraph(edges), weight: new ModelGraph(edges, { weighted: true }) };
    for (const view of views) {
      for (const by of ["hops", "weight"] as const) {
        for (const direction of directions) {
          for (let i = 0; i < 6; i++) {
            const [from, to] = [String(1 + random.below(nodes)), String(1 + random.below(nodes))];
            const least = ways[by].distances(from, direction, ({ weight }) => (by === "hops" ? 1 : weight)).get(to);
            const path = await read(view, "path", {
              ...all,
              direction,
              by,
              from: spelt[view](from),
              to: spelt[view](to),
            });
            assert.deepEqual([path.found, path.truncated], [least !== undefined, false]);
            if (least === undefined) continue;
            const rows = path.edges.map((row) => JSON.parse(row));
            assert.equal(path.nodes[0], formOf(view, from));
            assert.equal(path.nodes.at(-1), formOf(view, to));
            assert.equal(rows.length, path.nodes.length - 1);
            for (const [at, { a, b }] of rows.entries()) {
              const [one, other] = [path.nodes[at], path.nodes[at + 1]];
              const along = a === one && b === other;
              const against = b === one && a === other;
              assert.ok({ out: along, in: against, both: along || against }[direction]);
            }
            if (by === "hops") assert.deepEqual([rows.length, path.cost], [least, null]);
            else {
              assert.equal(Number(path.cost), least);
              assert.equal(
                rows.reduce((sum, row) => sum + Number(row.km), 0),
                least,
              );
            }
          }
        }
      }
    }
  });

  test("labels and filters say which edges are taken", async () => {
    const taken = (one: (edge: (typeof edges)[number]) => boolean): ModelGraph =>
      new ModelGraph(edges.filter(one) as ModelEdge[]);
    const few: Filter = { kind: "compare", column: "id", operator: "lte", values: ["60"], negated: false };
    for (const [labels, filter, graph] of [
      [["rail"], null, taken(({ kind }) => kind === "rail")],
      [["road", "rail", "x"], few, taken(({ id }) => id <= 60)],
      [["rail"], few, taken(({ id, kind }) => id <= 60 && kind === "rail")],
      [["none"], null, taken(() => false)],
    ] as const) {
      const { items } = await read("numbers", "reach", { ...all, labels, filter, of: "3" });
      const expected = graph.distances("3", "out", () => 1);
      expected.delete("3");
      assert.deepEqual(new Map(items.map(({ node, hops }) => [String(node), hops])), expected);
    }
  });

  test("a walk that a bound ends says so", async () => {
    const { items, truncated } = await read("numbers", "reach", { ...all, direction: "both", of: "1", nodesMax: 2 });
    assert.deepEqual([items.length, truncated], [2, true]);
    const tight = fixture.reader({ walkEdgesMax: 1 });
    const path = await tight.graph("numbers", {
      kind: "path",
      ...all,
      direction: "both",
      by: "hops",
      from: "1",
      to: "40",
    });
    assert.ok(path.kind === "path" && !path.found && path.truncated);
    const [far] = (await read("numbers", "reach", { ...all, direction: "both", of: "1" })).items.slice(-1);
    const narrow = fixture.reader({ rowsBytesMax: 100 });
    const long = { kind: "path", ...all, direction: "both", by: "hops", from: "1", to: String(far?.node) } as const;
    await refusalOf(narrow.graph("numbers", long), "REQUEST_INVALID", /rows of the path take more than 100 bytes/);
  });

  test("a node that itself has more edges than a portion is walked through", async () => {
    await fixture.createView("star", {
      columns: [column("id", "integer"), column("a", "integer"), column("b", "integer")],
      key: ["id"],
      reads: { graph: { from: "a", to: "b" } },
    });
    await fixture.admin.query("insert into millrace.star__1 select i, 0, i from generate_series(1, 25000) i");
    await fixture.admin.query(
      "insert into millrace.star__1 select 30000 + i, i, 30000 + i % 10 from generate_series(1, 25000) i",
    );
    const { items, truncated } = await read("star", "reach", { ...all, of: "0", nodesMax: 100_000 });
    assert.deepEqual([items.length, truncated], [25_010, false]);
    assert.deepEqual(items.at(-1), { node: 30_009, hops: 2 });
    const some = await read("star", "reach", { ...all, of: "0", nodesMax: 15_000 });
    assert.deepEqual([some.items.length, some.truncated], [15_000, true]);
  });

  test("edges are found by their index from either end", async () => {
    for (const view of views) {
      for (const side of ["out", "in"] as const) {
        const of = graphOf(fixture.group.readable(view));
        const { text, parameters } = stepsSql(of, { kind: "reach", ...all, of: "" }, side);
        const nodes = ["1", "2"].map(spelt[view]);
        await fixture.admin.query("begin; set local enable_seqscan = off");
        const { rows } = await fixture.admin.query(`explain ${text}`, [nodes, ...parameters.values.slice(1)]);
        await fixture.admin.query("rollback");
        assert.match(JSON.stringify(rows), side === "out" ? /Index Cond: \(+a = ANY/ : /Index Cond: \(+b = ANY/);
      }
    }
  });

  test("what cannot be asked is refused, and nothing is held afterwards", async () => {
    const path = { ...all, by: "weight", from: "1", to: "2" } as const;
    const wrong: [string, GraphQuery, string, RegExp][] = [
      ["plain", { kind: "reach", ...all, of: "1" }, "VIEW_OPTION_MISSING", /is no graph/],
      ["star", { kind: "path", ...path }, "VIEW_OPTION_MISSING", /without weights/],
      ["star", { kind: "reach", ...all, labels: ["x"], of: "1" }, "VIEW_OPTION_MISSING", /without labels/],
      ["numbers", { kind: "reach", ...all, of: "one" }, "NODE_INVALID", /whole numbers/],
      ["numbers", { kind: "reach", ...all, of: "99999999999999999999" }, "NODE_INVALID", /64 bits/],
      ["uuids", { kind: "path", ...path, from: spelt.uuids("1"), to: "7" }, "NODE_INVALID", /^to is "7"/],
      ["texts", { kind: "reach", ...all, of: "a\0" }, "NODE_INVALID", /NUL/],
      ["texts", { kind: "reach", ...all, of: "ä".repeat(501) }, "NODE_INVALID", /at most 1000 bytes/],
      ["numbers", { kind: "neighbours", ...all, of: "1", limit: 5, cursor: "?" }, "TOKEN_INVALID", /cursor/],
      [
        "numbers",
        {
          kind: "reach",
          ...all,
          of: "1",
          filter: { kind: "compare", column: "km", operator: "gt", values: ["x"], negated: false },
        },
        "FILTER_INVALID",
        /"km"/,
      ],
      [
        "numbers",
        {
          kind: "reach",
          ...all,
          of: "1",
          filter: { kind: "compare", column: "kn", operator: "gt", values: ["x"], negated: false },
        },
        "COLUMN_UNKNOWN",
        /"kn"/,
      ],
    ];
    for (const [view, query, code, message] of wrong) {
      await refusalOf(reader.graph(view, query), code as "NODE_INVALID", message);
    }
    assert.equal(fixture.pool.waitingCount, 0);
    assert.equal(fixture.pool.idleCount, fixture.pool.totalCount);
  });

  test("a negative weight is refused wherever it stands, unless a filter leaves it out; what is no number is no edge", async () => {
    await fixture.createView("odd", {
      columns: [
        column("id", "integer"),
        column("a", "text"),
        column("b", "text"),
        column("cost", "double precision", true),
      ],
      key: ["id"],
      reads: { graph: { from: "a", to: "b", weight: "cost" } },
    });
    const weights = ["NaN", "Infinity", "1e301", null, 5, 2.5];
    await fixture.commit("odd", { upsert: weights.map((cost, id) => ({ id, a: "x", b: id === 5 ? "z" : "y", cost })) });
    const path = { kind: "path", ...all, by: "weight", from: "x", to: "y" } as const;
    const cheapest = async (query: GraphQuery) => {
      const found = await reader.graph("odd", query);
      return found.kind === "path" ? found.cost : undefined;
    };
    assert.equal(await cheapest(path), 5);
    await fixture.commit("odd", { upsert: [{ id: 9, a: "far", b: "away", cost: -0.5 }] });
    await refusalOf(cheapest(path), "WEIGHT_NEGATIVE", /from "far" to "away"/);
    const filter: Filter = { kind: "compare", column: "cost", operator: "gte", values: ["0"], negated: false };
    assert.equal(await cheapest({ ...path, filter }), 5);
    assert.equal(await cheapest({ ...path, filter, to: "x" }), 0);
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { cheapestPath } from "./cheapest.ts";
import { directions, ModelGraph, randomEdges } from "./graph-model.fixture.ts";
import { reach, shortestPath, type WalkBounds } from "./walk.ts";

const wide: WalkBounds = { nodesMax: 1_000_000, edgesMax: 1_000_000, hops: { max: 1_000, asked: false } };
const asked = (max: number): WalkBounds => ({ ...wide, hops: { max, asked: true } });
const one = () => 1;

const random = seededRandom(41);
const graphs = Array.from({ length: 150 }, (_, i) => {
  const nodes = 1 + (i % 24);
  return { nodes, edges: randomEdges(random, nodes, random.below(nodes * 3) + 1) };
});
const someNode = (nodes: number) => String(1 + random.below(nodes));

test("what is reached, and how far away it is, is what a plain model finds", async () => {
  for (const { nodes, edges } of graphs) {
    const graph = new ModelGraph(edges);
    for (const direction of directions) {
      const start = someNode(nodes);
      const distances = graph.distances(start, direction, one);
      distances.delete(start);
      const whole = await reach(graph, start, direction, wide);
      assert.equal(whole.truncated, false);
      assert.deepEqual(new Map(whole.items.map(({ node, hops }) => [node, hops])), distances);
      assert.equal(whole.items.length, distances.size);
      const near = await reach(graph, start, direction, asked(2));
      assert.equal(near.truncated, false);
      assert.deepEqual(
        new Map(near.items.map(({ node, hops }) => [node, hops])),
        new Map([...distances].filter(([, hops]) => hops <= 2)),
      );
    }
  }
});

test("a path of the fewest edges is one, and none is found only where there is none", async () => {
  for (const { nodes, edges } of graphs) {
    const graph = new ModelGraph(edges);
    for (const direction of directions) {
      for (let i = 0; i < 4; i++) {
        const [from, to] = [someNode(nodes), someNode(nodes)];
        const hops = graph.distances(from, direction, one).get(to);
        const found = await shortestPath(graph, from, to, direction, wide);
        assert.equal(found.truncated, false);
        if (hops === undefined) assert.equal(found.nodes, null);
        else {
          assert.deepEqual([found.nodes?.[0], found.nodes?.at(-1), found.nodes?.length], [from, to, hops + 1]);
          assert.equal(graph.costOf(found.nodes ?? [], direction, one), hops);
          if (hops > 0)
            assert.equal((await shortestPath(graph, from, to, direction, asked(hops))).nodes?.length, hops + 1);
          if (hops > 1) {
            const short = await shortestPath(graph, from, to, direction, asked(hops - 1));
            assert.deepEqual(short, { nodes: null, truncated: false });
          }
        }
      }
    }
  }
});

test("the cheapest path costs what a plain model finds, and edges without a weight are not taken", async () => {
  for (const { nodes, edges } of graphs) {
    const graph = new ModelGraph(edges, { weighted: true });
    const weight = (step: { weight: number }) => step.weight;
    for (const direction of directions) {
      for (let i = 0; i < 4; i++) {
        const [from, to] = [someNode(nodes), someNode(nodes)];
        const least = graph.distances(from, direction, weight).get(to);
        const found = await cheapestPath(graph, from, to, direction, wide);
        assert.equal(found.truncated, false);
        if (least === undefined) assert.equal(found.nodes, null);
        else {
          assert.deepEqual([found.nodes?.[0], found.nodes?.at(-1)], [from, to]);
          assert.equal(graph.costOf(found.nodes ?? [], direction, weight), least);
        }
      }
    }
  }
});

test("a bound ends a walk, which says so and tells nothing that is wrong", async () => {
  for (const { nodes, edges } of graphs) {
    const graph = new ModelGraph(edges, { weighted: true });
    for (const bounds of [
      { ...wide, nodesMax: 3 },
      { ...wide, edgesMax: 4 },
      { ...wide, hops: { max: 1, asked: false } },
    ]) {
      const start = someNode(nodes);
      const distances = graph.distances(start, "out", one);
      const some = await reach(graph, start, "out", bounds);
      for (const { node, hops } of some.items) assert.equal(distances.get(node), hops);
      assert.ok(some.items.length <= bounds.nodesMax);
      assert.ok(some.truncated || some.items.length === distances.size - 1);
      const to = someNode(nodes);
      for (const find of [shortestPath, cheapestPath]) {
        const cost = find === cheapestPath ? (step: { weight: number }) => step.weight : one;
        const least = graph.distances(start, "out", cost).get(to);
        const found = await find(graph, start, to, "out", bounds);
        if (found.nodes !== null) assert.equal(graph.costOf(found.nodes, "out", cost), least);
        else assert.ok(found.truncated || least === undefined);
      }
    }
  }
});

test("of a large star, whose middle has more edges than the bound, no more is read than that", async () => {
  const edges = Array.from({ length: 5_000 }, (_, i) => ({ from: "1", to: String(i + 2), weight: 1 }));
  const bounds = { ...wide, edgesMax: 100 };
  const graph = new ModelGraph(edges, { portion: 10 });
  assert.equal((await reach(graph, "1", "out", bounds)).truncated, true);
  assert.ok(graph.portions <= 11);
  assert.deepEqual(await cheapestPath(graph, "1", "4000", "in", bounds), { nodes: null, truncated: false });
  assert.deepEqual(await cheapestPath(graph, "1", "4000", "out", bounds), { nodes: null, truncated: true });
  assert.ok(graph.portions <= 25);
  // From both ends the middle is met before its own edges are looked at.
  assert.deepEqual((await cheapestPath(graph, "4000", "3000", "both", bounds)).nodes, ["4000", "1", "3000"]);
  assert.deepEqual((await shortestPath(graph, "4000", "3000", "both", bounds)).nodes, ["4000", "1", "3000"]);
});

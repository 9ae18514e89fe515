import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeToken } from "../feeds/token.ts";
import type { Views } from "../views/view-info.ts";
import type { GraphAnswer, GraphQuery } from "../views/walk/graph-query.ts";
import { ask, openTestDoor, partial } from "./door-fixture.ts";

const position = { generation: 2, batch: 41 };
const token = encodeToken({ kind: "group", ...position });

function graphOf(answer: GraphAnswer) {
  const asked: { view: string; query: GraphQuery }[] = [];
  const views = partial<Views>("views", {
    graph: async (view, query) => {
      asked.push({ view, query });
      return answer;
    },
  });
  return { views, asked };
}

const plain = { direction: "out", labels: null, filter: null } as const;

test("what can be reached is asked for with its bounds, and filters are those of the edges", async () => {
  const items = [{ node: "8", hops: 1 }];
  const { views, asked } = graphOf({ kind: "reach", items, truncated: true, position });
  await using door = await openTestDoor({ views });
  const path =
    "/v1/views/all%20roads/graph/reach?of=7&hops=3&nodes=50&direction=both&label=a,b&km=lt.5&or=(id.gt.1,of.eq.2)";
  const answer = await ask(door, path);
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json(), { items, truncated: true });
  assert.equal(answer.headers["millrace-token"], token);
  const compare = (column: string, operator: string, value: string) => {
    return { kind: "compare", column, operator, values: [value], negated: false };
  };
  const or = { kind: "or", negated: false, of: [compare("id", "gt", "1"), compare("of", "eq", "2")] };
  assert.deepEqual(asked, [
    {
      view: "all roads",
      query: {
        kind: "reach",
        direction: "both",
        labels: ["a", "b"],
        filter: { kind: "and", negated: false, of: [compare("km", "lt", "5"), or] },
        of: "7",
        hops: 3,
        nodesMax: 50,
      },
    },
  ]);
});

test("neighbours come by pages", async () => {
  const items = [{ node: 8, edges: 2 }];
  const { views, asked } = graphOf({ kind: "neighbours", items, next: "OA", position });
  await using door = await openTestDoor({ views });
  const answer = await ask(door, "/v1/views/follows/graph/neighbours?of=%20x&limit=1&cursor=Nw");
  assert.deepEqual(answer.json(), { items, next: "OA" });
  assert.deepEqual(asked[0]?.query, { kind: "neighbours", ...plain, of: " x", limit: 1, cursor: "Nw" });
  await ask(door, "/v1/views/follows/graph/neighbours?of=");
  assert.deepEqual(asked[1]?.query, { kind: "neighbours", ...plain, of: "", limit: 100, cursor: null });
});

test("a path has its nodes, and its edges as the texts of their rows", async () => {
  const edges = ['{"id":1,"km":1.50}', '{"id":2,"km":null}'];
  const found = {
    kind: "path",
    found: true,
    truncated: false,
    nodes: [1, 2, 3],
    edges,
    cost: "1.50",
    position,
  } as const;
  const { views, asked } = graphOf(found);
  await using door = await openTestDoor({ views });
  const answer = await ask(door, "/v1/views/roads/graph/path?from=1&to=3&by=weight");
  assert.equal(
    answer.text,
    '{"found":true,"truncated":false,"hops":2,"cost":"1.50","nodes":[1,2,3],"edges":[{"id":1,"km":1.50},\n{"id":2,"km":null}]}\n',
  );
  assert.deepEqual(asked[0]?.query, {
    kind: "path",
    ...plain,
    from: "1",
    to: "3",
    by: "weight",
    hops: null,
    nodesMax: 10_000,
  });
  const none = { kind: "path", found: false, truncated: true, nodes: [], edges: [], cost: null, position } as const;
  await using other = await openTestDoor({ views: graphOf(none).views });
  assert.deepEqual((await ask(other, "/v1/views/roads/graph/path?from=1&to=3")).json(), {
    found: false,
    truncated: true,
    hops: null,
    cost: null,
    nodes: [],
    edges: [],
  });
});

test("what has no meaning is refused before anything is read", async () => {
  const { views, asked } = graphOf({ kind: "reach", items: [], truncated: false, position });
  await using door = await openTestDoor({ views });
  const wrong: [string, string, RegExp][] = [
    ["reach?hops=3", "REQUEST_INVALID", /"of" is missing/],
    ["path?from=1", "REQUEST_INVALID", /"to" is missing/],
    ["reach?of=1&of=2", "REQUEST_INVALID", /twice/],
    ["reach?of=1&hops=0", "REQUEST_INVALID", /hops/],
    ["reach?of=1&hops=1001", "REQUEST_INVALID", /hops/],
    ["reach?of=1&nodes=100001", "REQUEST_INVALID", /nodes/],
    ["reach?of=1&direction=up", "REQUEST_INVALID", /direction is "up"/],
    ["path?from=1&to=2&by=price", "REQUEST_INVALID", /by is "price"/],
    ["path?from=1&to=2&by=weight&hops=2", "REQUEST_INVALID", /cannot be used together/],
    ["neighbours?of=1&limit=10001", "REQUEST_INVALID", /limit/],
    ["reach?of=1&select=id", "REQUEST_INVALID", /"select" has no meaning/],
    ["reach?of=1&limit=5", "REQUEST_INVALID", /"limit" has no meaning/],
    ["reach?of=1&km=near.5", "FILTER_INVALID", /near/],
    ["reach?of=1&near=1,2", "FILTER_INVALID", /near alone/],
  ];
  for (const [query, code, detail] of wrong) {
    const answer = await ask(door, `/v1/views/roads/graph/${query}`);
    const problem = answer.json() as { code: string; detail: string };
    assert.deepEqual([answer.status, problem.code], [400, code], query);
    assert.match(problem.detail, detail);
  }
  assert.equal((await ask(door, "/v1/views/roads/graph/walk?of=1")).status, 404);
  assert.deepEqual(asked, []);
});

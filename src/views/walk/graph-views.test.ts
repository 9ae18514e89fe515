import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../base/clock.ts";
import { sql, type ViewOptions, view } from "../../catalog/definitions.ts";
import { compileView } from "../compile.ts";
import { live, until, ViewsFixture } from "../group-fixture.ts";
import { openReader } from "../reader.ts";
import { refusalOf } from "../reader-fixture.ts";
import { tableShape } from "../source-fixture.ts";
import type { GraphQuery } from "./graph-query.ts";

const roads = tableShape("geo", "roads", ["id integer", "a text", "b text", "kind text", "km numeric", "note json"]);
const text = (query: string) => sql(Object.assign([query], { raw: [query] }));
const roadsView = (options: ViewOptions) => view("roads", text("select * from geo.roads"), { key: "id", ...options });
const road = (id: number, a: string, b: string, km: string) => ({
  table: roads,
  insert: [`${id}`, a, b, "road", km, null],
});
const reach: GraphQuery = {
  kind: "reach",
  of: "graz",
  direction: "both",
  labels: null,
  filter: null,
  hops: null,
  nodesMax: 100,
};

test("the option is checked where it is written and where it is compiled", async () => {
  const wrong: [unknown, RegExp][] = [
    [{ from: "a" }, /it takes \{ from/],
    [{ from: "a", to: "a" }, /from one column to another/],
    [{ from: "a", to: "b", wieght: "km" }, /"wieght", which is none/],
    [{ from: "a", to: "b", label: 5 }, /it takes/],
    [null, /it takes/],
  ];
  for (const [graph, message] of wrong) {
    assert.throws(() => roadsView({ graph: graph as never }), { code: "DEFINITION_INVALID", message });
  }
  const compile = (options: ViewOptions) =>
    compileView({ view: roadsView(options), mirrors: [{ id: 1, shape: roads }], version: 1 });
  const refused = await refusalOf(
    compile({ graph: { from: "a", to: "bb" } }),
    "VIEW_OPTION_INVALID",
    /its graph names "bb"/,
  );
  assert.match(refused.hint ?? "", /Did you mean "b"\?/);
  const [plain, graph] = [await compile({}), await compile({ graph: { from: "a", to: "b" } })];
  assert.notEqual(plain.hash, graph.hash);
});

test("a graph follows its view: a new option is a new version, a change is walked at once, a type that cannot be used fails it", async () => {
  await using fixture = await ViewsFixture.open();
  const geo = await fixture.source("geo", [roads]);
  const first = await fixture.group([roadsView({})]);
  await geo.snapshot([road(1, "graz", "wien", "200"), road(2, "linz", "wien", "180")]);
  await live(first);
  const readerOf = (group: typeof first) => openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  await refusalOf(readerOf(first).graph("roads", reach), "VIEW_OPTION_MISSING");
  await first.close();

  const group = await fixture.group([roadsView({ graph: { from: "a", to: "b", weight: "km" } })]);
  await live(group);
  const reader = readerOf(group);
  const found = async () => {
    const answer = await reader.graph("roads", reach);
    return answer.kind === "reach" ? answer.items.map(({ node, hops }) => `${node} ${hops}`) : [];
  };
  assert.deepEqual(await found(), ["wien 1", "linz 2"]);
  await geo.commit(
    road(3, "graz", "linz", "220"),
    road(4, "linz", "x".repeat(1_000), `-${"9".repeat(20_000)}`),
    road(5, "linz", "y".repeat(1_001), "1"),
  );
  await fixture.settled(group);
  assert.deepEqual(
    (await found()).map((one) => one.slice(0, 10)),
    ["linz 1", "wien 1", "xxxxxxxxxx"],
  );
  assert.match(
    await reader.explain("roads"),
    /what else it is read by[\s\S]*create index on millrace."roads__2" \("a", "b"\) where octet_length/,
  );
  assert.deepEqual(reader.info("roads").reads, { graph: { from: "a", to: "b", weight: "km" } });
  await group.close();

  const odd = await fixture.group([roadsView({ graph: { from: "a", to: "note" } })]);
  await until(odd, () => odd.info("roads").state.kind === "failed");
  const { state } = odd.info("roads");
  assert.ok(state.kind === "failed");
  assert.match(`${state.error.code} ${state.error.message}`, /VIEW_OPTION_INVALID .*"note", which is json: nodes are/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { type SqlReference, sql, topic, type ViewOptions, view } from "../catalog/definitions.ts";
import { checkDefinitions } from "./check.ts";
import { refuseAcrossGroups } from "./group-borders.ts";
import { tableShape } from "./source-fixture.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer text"]);

function viewOf(name: string, text: string, options: ViewOptions = {}, ...references: SqlReference[]) {
  const pieces = text.split("$");
  return view(name, sql(Object.assign(pieces, { raw: pieces }), ...references), { key: "id", ...options });
}

const base = viewOf("base", "select id, customer from shop.orders");
const published = viewOf("published", "select id from shop.orders", { publish: "published-rows" });

test("a view that reads one of another group is refused, however it names it, and told of the topic", async () => {
  const byName = viewOf("above", "select id from views.base", { group: "reports" });
  const error = {
    code: "VIEW_OF_ANOTHER_GROUP",
    message: 'view "above" of group "reports" reads view "base" of group "main"',
    hint: 'Publish the other one, view("base", …, { publish: "base" }), and read that topic in a view of group "reports": topics."base". Or put both into one group.',
  };
  await assert.rejects(refuseAcrossGroups([base, byName]), error);
  const byReference = viewOf("above", "select id from $", { group: "reports" }, base);
  await assert.rejects(refuseAcrossGroups([base, byReference]), error);
  const within = viewOf(
    "above",
    "with x as (select id from shop.orders where id in (select id from views.base)) select id from x",
    {
      group: "reports",
    },
  );
  await assert.rejects(refuseAcrossGroups([base, within]), error);
  await assert.rejects(
    refuseAcrossGroups([published, viewOf("up", "select id from views.published", { group: "reports" })]),
    {
      hint: /^View "published" is published: read that topic in a view of group "reports": topics\."published-rows"/,
    },
  );
});

test("one that refers to a view of another group is refused as well", async () => {
  const references = { order: { view: "base", on: { id: "id" } } };
  const referring = viewOf("notes", "select id from shop.orders", { group: "reports", references });
  await assert.rejects(refuseAcrossGroups([base, referring]), {
    code: "VIEW_OF_ANOTHER_GROUP",
    message: 'view "notes" of group "reports" refers to view "base" of group "main"',
  });
  await refuseAcrossGroups([base, viewOf("notes", "select id from shop.orders", { references })]);
});

test("the history of a view is in its group", async () => {
  const rates = viewOf("rates", "select id from shop.orders", { history: true });
  const reader = viewOf("joined", 'select id from views."rates.history"', { group: "reports" });
  await assert.rejects(refuseAcrossGroups([rates, reader]), {
    code: "VIEW_OF_ANOTHER_GROUP",
    message: 'view "joined" of group "reports" reads view "rates" of group "main"',
  });
});

test("views of one group read each other, and topics that those of others are published to", async () => {
  const lower = viewOf("lower", "select id from shop.orders", { group: "reports" });
  const upper = viewOf("upper", "select id from views.lower", { group: "reports" });
  const rows = topic("published-rows", { cleanup: "compact" });
  const reader = viewOf("reader", "select key from $", { group: "reports", key: "key" }, rows);
  await refuseAcrossGroups([base, published, lower, upper, reader, viewOf("broken", "selec", { group: "reports" })]);
});

test("a check tells it of the view itself, and of a circle through topics of several groups", async () => {
  const above = viewOf("above", "select id from views.base", { group: "reports" });
  const checked = await checkDefinitions([base, above], [orders]);
  assert.deepEqual(
    checked.map(({ view, error }) => [view.name, error?.code]),
    [
      ["base", undefined],
      ["above", "VIEW_OF_ANOTHER_GROUP"],
    ],
  );
  const one = viewOf("one", "select key from topics.two", { key: "key", publish: "one" });
  const two = viewOf("two", "select key from topics.one", { key: "key", publish: "two", group: "reports" });
  const circle = await checkDefinitions([one, two], []);
  assert.deepEqual(
    circle.map(({ error }) => error?.code),
    ["PUBLISH_CYCLE", "PUBLISH_CYCLE"],
  );
});

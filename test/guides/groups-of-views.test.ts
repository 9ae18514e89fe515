import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { arrange, collectDefinitions } from "../../src/catalog/collect.ts";
import { topicTables } from "../../src/catalog/topic-table.ts";
import { ProgressTable } from "../../src/ownership/progress-table.ts";
import { makeTopics } from "../../src/publish/published-topic.ts";
import { Publishers } from "../../src/publish/publishers.ts";
import { refuseAcrossGroups } from "../../src/views/group-borders.ts";
import { GroupsFixture, rowsOf } from "../../src/views/groups-fixture.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { eventually } from "../support/program.ts";
import * as app from "./groups-of-views-app.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer text", "amount integer"]);

test("the guide's groups have their views, and what one found out reaches the other by a topic", async () => {
  await using fixture = await GroupsFixture.open();
  const { engine } = fixture;
  const definitions = collectDefinitions(app);
  const arranged = arrange(definitions);
  await refuseAcrossGroups(arranged.views);
  const progress = await ProgressTable.open({ engine, clock: systemClock });
  await makeTopics(engine, progress, arranged.published);
  const shop = await fixture.source("shop", [orders]);
  await shop.snapshot([{ table: orders, insert: ["1", "Ada", "90"] }]);
  const groups = await fixture.groups(definitions, { work: fixture.work(definitions, topicTables(arranged)) });
  const tools = { engine, clock: systemClock, diagnostics: silentDiagnostics, progress, misfitOf: () => null };
  const publishers = new Publishers({ ...tools, reader: groups.reader, store: groups });
  await publishers.apply(arranged.published);
  await shop.commit({ table: orders, insert: ["2", "Ada", "20"] }, { table: orders, insert: ["3", "Bob", "100"] });
  const good = await eventually(async () => {
    const rows = await rowsOf(groups, "good_customers").catch(() => []);
    return rows.length > 0 ? rows : undefined;
  });
  assert.deepEqual(good, [{ customer: "Ada", total: "110" }]);
  assert.equal(groups.reader.info("sums").group, "reports");
  assert.deepEqual(await rowsOf(groups, "sums"), [
    { customer: "Ada", total: "110" },
    { customer: "Bob", total: "100" },
  ]);
  await publishers.close();
  await progress.close();
});

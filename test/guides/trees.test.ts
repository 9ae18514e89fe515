import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { ask, openTestDoor } from "../../src/http/door-fixture.ts";
import { live, ViewsFixture } from "../../src/views/group-fixture.ts";
import { openReader } from "../../src/views/reader.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { categories, products } from "./trees-app.ts";

const categoryTable = tableShape("shop", "categories", ["path text", "title text"], { key: ["path"] });
const productTable = tableShape("shop", "products", ["id integer", "name text", "category text"]);

test("the guide's requests answer what it says that they answer", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [categoryTable, productTable]);
  const group = await fixture.group([categories, products]);
  const category = (...insert: string[]) => ({ table: categoryTable, insert });
  const product = (...insert: string[]) => ({ table: productTable, insert });
  await shop.snapshot([
    category("Home", "Home"),
    category("Home.Kitchen", "Kitchen"),
    category("Home.Kitchen.Knives", "Knives"),
    category("Home.Garden", "Garden"),
    category("Home.Garden.Knives", "Pruning knives"),
    category("Music", "Music"),
    product("1", "Paring knife", "Home.Kitchen.Knives"),
    product("2", "Pot", "Home.Kitchen"),
    product("3", "Grafting knife", "Home.Garden.Knives"),
    product("4", "Drum", "Music"),
  ]);
  await live(group);
  await using door = await openTestDoor({
    views: openReader({ group, store: { readers: fixture.pool }, clock: systemClock }),
  });
  const guide = readFileSync(new URL("../../docs/guide/trees.md", import.meta.url), "utf8");
  const requests = [...guide.matchAll(/^GET (\/v1\/views\/\S+)\n(\[.*\])$/gm)];
  assert.equal(requests.length, guide.split("\nGET ").length - 1);
  for (const [, path = "", answer = ""] of requests) {
    assert.deepEqual((await ask(door, path)).json(), JSON.parse(answer), path);
  }
});

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { connect } from "../../client/src/index.ts";
import { column, GroupFixture } from "../views/reader-fixture.ts";
import { ask, openTestDoor } from "./door-fixture.ts";
import type { HttpDoor } from "./http-door.ts";

interface Place {
  readonly id: number;
  readonly path: string | null;
  readonly depth: number;
}

const paths = ["Top", "Top.Arts", "Top.Science", "Top.Science.Astronomy", "Top.Science.Biology", "Top-most", "no path"];

describe("trees from a client through the door to the store", () => {
  let fixture: GroupFixture;
  let door: HttpDoor;
  before(async () => {
    fixture = await GroupFixture.open();
    door = await openTestDoor({ views: fixture.reader() });
    const columns = [column("id", "integer"), column("path", "text", true), column("depth", "integer")];
    const find = { search: null, fuzzy: [], geo: null };
    await fixture.createView("places", { columns, key: ["id"], find: { ...find, tree: ["path"] } });
    const two = [column("id", "integer"), column("here", "text"), column("there", "text")];
    await fixture.createView("moves", { columns: two, key: ["id"], find: { ...find, tree: ["here", "there"] } });
    await fixture.createView("plain", { columns, key: ["id"] });
    await fixture.commit("places", { upsert: paths.map((path, id) => ({ id, path, depth: id })) });
    await fixture.commit("moves", { upsert: [{ id: 1, here: "a.b", there: "x.y" }] });
  });
  after(async () => {
    await door.close();
    await fixture[Symbol.asyncDispose]();
  });

  const places = () => connect<{ views: { places: Place } }>(`http://127.0.0.1:${door.port}`).view("places");
  async function pathsAt(path: string): Promise<string[]> {
    const answer = await ask(door, `/v1/views/places/tree/${path}`);
    assert.equal(answer.status, 200, answer.text);
    return (answer.json() as Place[]).map((row) => row.path ?? "");
  }

  test("a path answers what is at it and below it, each before what is below it", async () => {
    const all = ["Top", "Top.Arts", "Top.Science", "Top.Science.Astronomy", "Top.Science.Biology"];
    assert.deepEqual(await pathsAt("Top"), all);
    assert.deepEqual(await pathsAt("Top?depth=1"), all.slice(0, 3));
    assert.deepEqual(await pathsAt("Top?depth=0"), ["Top"]);
    assert.deepEqual(await pathsAt("Top/children"), ["Top.Arts", "Top.Science"]);
    assert.deepEqual(await pathsAt("Top.Science.Biology.Cells/ancestors"), [
      "Top",
      "Top.Science",
      "Top.Science.Biology",
    ]);
    assert.deepEqual(await pathsAt("Top.Science.Biology/ancestors?order=_depth.desc"), ["Top.Science", "Top"]);
    assert.deepEqual(await pathsAt("Top?path=lquery.*.!Arts.*{1}&order=path.desc&limit=1"), ["Top.Science.Biology"]);
    assert.deepEqual(await pathsAt("Top?and=(depth.gt.2)"), all.slice(3));
    assert.deepEqual(await pathsAt("nowhere"), []);
    const rows = (await ask(door, "/v1/views/places/tree/Top.Science/children")).json();
    assert.deepEqual(rows, [
      { id: 3, path: "Top.Science.Astronomy", depth: 3, _depth: 3 },
      { id: 4, path: "Top.Science.Biology", depth: 4, _depth: 3 },
    ]);
  });

  test("an answer has a token, a tag, its place and its next page as rows have", async () => {
    const first = await ask(door, "/v1/views/places/tree/Top?depth=1&limit=2&select=id", {
      headers: { prefer: "count=exact" },
    });
    assert.equal(first.status, 206);
    assert.deepEqual(first.json(), [{ id: 0 }, { id: 1 }]);
    assert.equal(first.headers["content-range"], "0-1/3");
    assert.ok(first.headers["millrace-token"]);
    const tag = String(first.headers.etag);
    const again = await ask(door, "/v1/views/places/tree/Top?depth=1&limit=2&select=id", {
      headers: { "if-none-match": tag },
    });
    assert.equal(again.status, 304);
    const next = /^<([^>]+)>/.exec(String(first.headers.link))?.[1] ?? assert.fail();
    const second = await ask(door, `/v1/views/places/tree/Top${next}`);
    assert.deepEqual(second.json(), [{ id: 2 }]);
    const csv = await ask(door, "/v1/views/places/tree/Top/children?select=id,_depth", {
      headers: { accept: "text/csv" },
    });
    assert.equal(csv.text, "id,_depth\r\n1,2\r\n2,2\r\n");
  });

  test("a view with several trees is asked for one of them by its column", async () => {
    const one = await ask(door, "/v1/views/moves/tree/x?by=there");
    assert.equal((one.json() as unknown[]).length, 1);
    assert.deepEqual((await ask(door, "/v1/views/moves/tree/x?by=here")).json(), []);
    const none = await ask(door, "/v1/views/moves/tree/x");
    assert.deepEqual([none.status, (none.json() as { code: string }).code], [400, "REQUEST_INVALID"]);
  });

  test("what cannot be asked is refused by its code", async () => {
    for (const [path, status, code] of [
      ["places/tree/a..b", 400, "FILTER_INVALID"],
      ["places/tree/a%20b/children", 400, "FILTER_INVALID"],
      ["places/tree/a%00/ancestors", 400, "REQUEST_INVALID"],
      [`places/tree/${"x".repeat(1_001)}`, 400, "FILTER_INVALID"],
      ["places/tree/Top?depth=101", 400, "REQUEST_INVALID"],
      ["places/tree/Top?depth=-1", 400, "REQUEST_INVALID"],
      ["places/tree/Top?depth=1&depth=2", 400, "REQUEST_INVALID"],
      ["places/tree/Top?by=id", 400, "VIEW_OPTION_MISSING"],
      ["places/tree/Top?by=paht", 400, "COLUMN_UNKNOWN"],
      ["places/tree/Top?as_of=2026-01-01T00:00:00Z", 400, "REQUEST_INVALID"],
      ["places/tree/Top?cursor=bm9uZQ", 400, "TOKEN_INVALID"],
      ["plain/tree/Top", 400, "VIEW_OPTION_MISSING"],
      ["nothing/tree/Top", 404, "VIEW_UNKNOWN"],
    ] as const) {
      const answer = await ask(door, `/v1/views/${path}`);
      assert.deepEqual([answer.status, (answer.json() as { code: string }).code], [status, code], path);
    }
    const other = await ask(door, "/v1/views/places/tree/Top/parents");
    assert.equal(other.status, 404);
  });

  test("the client reads what is below and above, and says what a path is to meet", async () => {
    const ids = (rows: readonly { readonly id: number }[]) => rows.map(({ id }) => id);
    const page = await places().below("Top", { depth: 1, limit: 2, count: "exact" });
    assert.deepEqual([ids(page), page[1]?._depth, page.total], [[0, 1], 2, 3]);
    const next = await places().below("Top", { depth: 1, cursor: page.next ?? assert.fail() });
    assert.deepEqual([ids(next), next.next], [[2], null]);
    assert.deepEqual(ids(await places().children("Top.Science", { by: "path", where: { id: { gt: 3 } } })), [4]);
    assert.deepEqual(ids(await places().ancestors("Top.Science.Biology")), [0, 2]);
    const found = async (path: object) => ids(await places().rows({ where: { path } }));
    assert.deepEqual(await found({ cd: "Top.Science" }), [2, 3, 4]);
    assert.deepEqual(await found({ cs: "Top.Arts" }), [0, 1]);
    assert.deepEqual(await found({ lquery: "*.Science.*{1,}" }), [3, 4]);
    assert.deepEqual(await found({ not: { ltxtquery: "Science | Arts" } }), [0, 5]);
    const own = { depth: 3 };
    assert.deepEqual(ids(await places().below("Top", { where: own })), [3]);
  });
});

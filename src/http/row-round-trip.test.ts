import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { connect, MillraceClientError } from "../../client/src/index.ts";
import { sql, view } from "../catalog/definitions.ts";
import { column, GroupFixture } from "../views/reader-fixture.ts";
import type { ViewsReader } from "../views/view-info.ts";
import { ask, openTestDoor } from "./door-fixture.ts";
import type { HttpDoor } from "./http-door.ts";

interface Card {
  readonly id: number;
  readonly customer_id: string | null;
  readonly title: string;
  readonly tags: readonly string[];
  readonly doc: unknown;
}

describe("views from a client through the door to the store", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  let door: HttpDoor;
  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    door = await openTestDoor({ views: reader });
    const customers = [column("id", "bigint"), column("name", "text")];
    await fixture.createView("customers", { columns: customers, key: ["id"] });
    await fixture.createView("cards", {
      columns: [
        column("id", "integer"),
        column("customer_id", "bigint", true),
        column("title", "text"),
        column("tags", "text[]"),
        column("doc", "jsonb", true),
      ],
      key: ["id"],
    });
    await fixture.admin.query(`
      insert into millrace.customers__1 values (1, 'Ada'), (2, 'Bob');
      insert into millrace.cards__1 values
        (1, 1, 'a "quoted", title', '{x,"y,z"}', '{"city":"Graz","n":[1,2]}'),
        (2, 1, '', '{}', '{"city":"W)ien"}'),
        (3, null, 'cats and dogs', '{x}', null)`);
    const none = sql`select 1`;
    const references = { customer: { view: "customers", on: { customer_id: "id" } } };
    fixture.definitions = [view("customers", none), view("cards", none, { references })];
  });
  after(async () => {
    await door.close();
    await fixture[Symbol.asyncDispose]();
  });

  const cards = () => connect<{ views: { cards: Card } }>(`http://127.0.0.1:${door.port}`).view("cards");
  const idsOf = (rows: readonly { readonly id: number }[]) => rows.map(({ id }) => id);

  test("what the client says is what is found, whatever characters it has", async () => {
    const found = async (where: object) => idsOf(await cards().rows({ where }));
    assert.deepEqual(await found({ tags: { cs: ["y,z"] } }), [1]);
    assert.deepEqual(await found({ tags: { ov: ["x", '"{'] } }), [1, 3]);
    assert.deepEqual(await found({ doc: { cs: { n: [2] } } }), [1]);
    assert.deepEqual(await found({ title: { any: { like: ["*dog*", 'a "quo*'] } } }), [1, 3]);
    assert.deepEqual(await found({ title: { wfts: { query: "cat -bird", config: "english" } } }), [3]);
    assert.deepEqual(await found({ title: { not: { match: "^.+$" } } }), [2]);
    assert.deepEqual(await found({ customer_id: { isdistinct: "1" } }), [3]);
    assert.deepEqual(await found({ id: { in: Array.from({ length: 900 }, (_, i) => i + 2) } }), [2, 3]);
    const filter = { "doc->>city": "eq.W)ien" };
    assert.deepEqual(idsOf(await cards().rows({ filter })), [2]);
    assert.deepEqual(idsOf(await cards().rows({ filter: { or: '(doc->>city.eq."W)ien",tags.cs.{"y,z"})' } })), [1, 2]);
  });

  test("rows are shaped by select, with what belongs to them, and counted", async () => {
    const page = await cards().rows<{ n: number; city: string; customer: { name: string } | null }>({
      select: "n:id,doc->>city,customer(name)",
      order: "doc->>city.desc.nullslast",
      limit: 2,
      count: "exact",
    });
    assert.deepEqual(
      [...page],
      [
        { n: 2, city: "W)ien", customer: { name: "Ada" } },
        { n: 1, city: "Graz", customer: { name: "Ada" } },
      ],
    );
    assert.equal(page.total, 3);
    const next = await cards().rows({
      select: "n:id",
      order: "doc->>city.desc.nullslast",
      limit: 2,
      cursor: page.next ?? assert.fail(),
    });
    assert.deepEqual([...next], [{ n: 3 }]);
    const { view: of } = connect(`http://127.0.0.1:${door.port}`);
    const filter = { "cards.title": "neq.", "cards.order": "id.desc", "cards.limit": "5" };
    assert.deepEqual(
      [...(await of("customers").rows({ select: "name,cards!inner(id)", filter }))],
      [{ name: "Ada", cards: [{ id: 1 }] }],
    );
  });

  test("csv, lines and one object are of the same rows, and HEAD counts them", async () => {
    const get = (path: string, headers: Record<string, string>, method = "GET") =>
      ask(door, `/v1/views/cards${path}`, { headers, method });
    assert.equal(
      (await get("?select=id,title,doc,customer(name)", { accept: "text/csv" })).text,
      'id,title,doc,customer\r\n1,"a ""quoted"", title","{""n"": [1, 2], ""city"": ""Graz""}","{""name"":""Ada""}"\r\n' +
        '2,"","{""city"": ""W)ien""}","{""name"":""Ada""}"\r\n3,cats and dogs,,\r\n',
    );
    const lines = await get("?select=id&limit=2", { accept: "application/x-ndjson", range: "1-" });
    assert.equal(lines.text, '{"id":2}\n');
    assert.equal(lines.headers["content-range"], "1-1/*");
    const accept = "application/vnd.pgrst.object+json";
    assert.equal((await get("?id=eq.3&select=id", { accept })).text, '{"id":3}\n');
    assert.equal((await get("", { accept })).status, 406);
    const head = await get("?limit=1", { prefer: "count=exact" }, "HEAD");
    assert.deepEqual([head.status, head.headers["content-range"], head.text], [206, "0-0/3", ""]);
  });

  test("what is hostile is refused by its code, and the next read is served", async () => {
    const drop = encodeURIComponent(`x"'; drop view views.cards; --`);
    const answers: Readonly<Record<string, string>> = {
      [`${drop}=eq.1`]: "COLUMN_UNKNOWN",
      [`doc->${drop}=eq.1`]: "",
      [`select=id::${drop}`]: "REQUEST_INVALID",
      [`select=id,doc->>${drop}`]: "REQUEST_INVALID",
      [`select=id,doc->>${encodeURIComponent("x'; drop view views")}`]: "",
      [`select=a:${drop}`]: "REQUEST_INVALID",
      [`select="${encodeURIComponent(`y\\"; drop`)}":id`]: "",
      [`select=${drop}(id)`]: "REQUEST_INVALID",
      [`order=doc->>${drop}`]: "REQUEST_INVALID",
      [`order=doc->>${encodeURIComponent("x'; drop view views")}`]: "",
      [`title=fts(${drop}).a`]: "FILTER_INVALID",
      [`title=match.${encodeURIComponent("((a+)+)+$")}`]: "",
      [`title=match.${encodeURIComponent("(")}`]: "FILTER_INVALID",
      [`and=${"(and".repeat(50)}(id.eq.1)${")".repeat(50)}`]: "FILTER_INVALID",
      [`select=${"customer(".repeat(50)}id${")".repeat(50)}`]: "REQUEST_INVALID",
      [`id=in.(${"1,".repeat(1_200)}1)`]: "FILTER_INVALID",
      [`doc${"->a".repeat(33)}=eq.1`]: "FILTER_INVALID",
      "title=like(any).{a": "FILTER_INVALID",
      "title->a=eq.1": "PATH_INVALID",
      "id=cs.1": "FILTER_INVALID",
      "select=orders(id)": "RELATION_UNKNOWN",
    };
    for (const [search, code] of Object.entries(answers)) {
      const answer = await ask(door, `/v1/views/cards?${search}`);
      const problem = answer.status === 200 ? "" : (answer.json() as { code: string }).code;
      assert.equal(problem, code, `${search}: ${answer.text.slice(0, 200)}`);
      assert.ok(answer.status < 500);
    }
    assert.equal((await cards().rows()).length, 3);
    const refused = await cards()
      .rows({ filter: { id: "cs.1" } })
      .catch((error: unknown) => error);
    assert.ok(refused instanceof MillraceClientError && refused.code === "FILTER_INVALID");
    assert.deepEqual([refused.details.column, refused.details.operator], ["id", "cs"]);
  });
});

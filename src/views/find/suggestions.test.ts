import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { column, GroupFixture, refusalOf } from "../reader-fixture.ts";
import type { Statement } from "../row-sql.ts";
import type { Filter, RowQuery, ViewsReader } from "../view-info.ts";
import { beginningsOf, nearestWords, replaced, suggestionsFor, wordsOf } from "./suggestions.ts";

/** Reads as `?q=…&suggest=true` does. */
const suggest = (text: string, ...filters: Filter[]): RowQuery => ({
  filter: { kind: "and", negated: false, of: [{ kind: "search", text, negated: false }, ...filters] },
  order: [],
  select: ["id"],
  limit: 10,
  offset: 0,
  cursor: null,
  find: { search: text, suggest: true },
});

const books = [
  { id: 1, title: "Water mills of Styria", shelf: "a", body: "grinds" },
  { id: 2, title: "The river Mur", shelf: "a", body: "salt" },
  { id: 3, title: "A diver in the sea", shelf: "b", body: null },
  { id: 4, title: 'Crème brûlée & "l\'été"', shelf: "b", body: null },
  { id: 5, title: null, shelf: null, body: null },
];

describe("suggestions", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    const columns = ["title", "shelf", "body"].map((name) => column(name, "text", true));
    const view = { columns: [column("id", "integer"), ...columns], key: ["id"] };
    const search = {
      columns: [
        { column: "title", weight: "A" },
        { column: "body", weight: "B" },
      ],
      language: "english",
    } as const;
    await fixture.createView("books", { ...view, find: { search, fuzzy: [], geo: null } });
    await fixture.createView("plain", { ...view, find: { search: null, fuzzy: ["title"], geo: null } });
    await fixture.commit("books", { upsert: books });
  });
  after(() => fixture[Symbol.asyncDispose]());

  const suggested = async (query: RowQuery) => (await reader.rows("books", query)).suggestions;

  test("a search that finds nothing is answered with near words that find something", async () => {
    assert.deepEqual(await suggested(suggest("rivr")), ["river"]);
    assert.deepEqual(await suggested(suggest("watter MILS")), ["water mills"]);
    assert.deepEqual(await suggested(suggest("riverr")), ["river"]);
    assert.deepEqual(await suggested(suggest("rier")), ["river"]);
    assert.deepEqual(await suggested(suggest("Styrja grimds")), ["styria grinds"]);
    // Its first two letters are right, or it is not found.
    assert.deepEqual(await suggested(suggest("siver")), []);
    assert.deepEqual(await suggested(suggest("creme brulee")), ["crème brûlée"]);
  });

  test("what is there, what is passed over, and operators stay as they are", async () => {
    assert.deepEqual(await suggested(suggest('"watr mills" -sea')), ['"water mills" -sea']);
    assert.deepEqual(await suggested(suggest("the rivr of mur")), ["the river of mur"]);
    assert.deepEqual(await suggested(suggest("nothing or rivr")), []);
    assert.deepEqual(await suggested(suggest("'; drop table x; -- rivr \\ :* & | !")), []);
  });

  test("one is told only when it finds something under the filter of the read", async () => {
    const shelf = (value: string): Filter => {
      return { kind: "compare", column: "shelf", operator: "eq", values: [value], negated: false };
    };
    assert.deepEqual(await suggested(suggest("rivr", shelf("a"))), ["river"]);
    assert.deepEqual(await suggested(suggest("rivr", shelf("b"))), []);
    // Two words that are there, and never together.
    assert.deepEqual(await suggested(suggest("rivr mills")), []);
  });

  test("nothing is asked for a search that finds something, for a later page, or where nobody asked", async () => {
    assert.equal(await suggested(suggest("river")), undefined);
    assert.equal(await suggested({ ...suggest("rivr"), offset: 1 }), undefined);
    assert.equal(await suggested({ ...suggest("rivr"), find: { search: "rivr" } }), undefined);
    assert.deepEqual(await suggested(suggest("xylophone")), []);
    assert.deepEqual(await suggested(suggest("zz")), []);
    assert.deepEqual(await suggested(suggest("riw*")), []);
  });

  test("several reads of one snapshot have theirs", async () => {
    const { results } = await reader.readAll([
      { view: "books", query: suggest("rivr") },
      { view: "books", query: suggest("river") },
    ]);
    assert.deepEqual(
      results.map((one) => ("rows" in one ? one.suggestions : null)),
      [["river"], undefined],
    );
  });

  test("a view that is not searched by words says so", async () => {
    const missing = await refusalOf(reader.rows("plain", suggest("rivr")), "VIEW_OPTION_MISSING");
    assert.equal(missing.details.option, "search");
  });

  test("each statement goes by an index", async () => {
    const run = async <Row>({ text, parameters }: Statement): Promise<Row[]> => {
      const values = [...parameters.values];
      const plan = await fixture.admin.query(`explain ${text}`, values);
      assert.doesNotMatch(plan.rows.map((row) => row["QUERY PLAN"]).join("\n"), /Seq Scan/);
      statements++;
      return (await fixture.admin.query(text, values)).rows as Row[];
    };
    let statements = 0;
    // Words of which each is in many rows: of any other one as many are expected, and so a few of them soon.
    await fixture.admin.query(
      `insert into millrace."books__1" (id, title) select i, (array['lake', 'wood', 'hill', 'path', 'gate'])[1 + i % 5] from generate_series(10, 20000) i`,
    );
    await fixture.admin.query(`vacuum analyze millrace."books__1"`);
    const view = fixture.group.readable("books");
    assert.deepEqual(await suggestionsFor(view, suggest("rivr"), run), ["river"]);
    assert.equal(statements, 3);
  });
});

test("words are those that must be there", () => {
  const texts = (text: string) => wordsOf(text).map((word) => word.text);
  assert.deepEqual(texts('water "of mills" -sea or riv* Ünï'), ["water", "mills", "Ünï"]);
  assert.deepEqual(texts("a bb or ccc"), ["ccc"]);
  assert.equal(texts("w".repeat(500)).length, 0);
  assert.equal(texts("word ".repeat(100)).length, 5);
  const text = 'a "rivr" and mils';
  const words = wordsOf(text).filter(({ text: word }) => word !== "and");
  assert.equal(replaced(text, words, ["river", "mills"]), 'a "river" and mills');
});

test("near are words of few edits for their length, whatever their accents and letters", () => {
  assert.deepEqual(nearestWords("rivr", ["The", "River", "rivers", "diver"]), ["river"]);
  assert.deepEqual(nearestWords("rivers", ["The", "River", "rivers", "diver"]), ["river", "diver"]);
  assert.deepEqual(nearestWords("muhle", ["Mühle", "Fluss"]), ["mühle"]);
  assert.deepEqual(nearestWords("river", ["River"]), []);
  assert.deepEqual(nearestWords("aaaa", ["aaab", "aaac", "aaad", "aaae", "AAAE", "aaab", "aaab"]), [
    "aaab",
    "aaae",
    "aaac",
  ]);
});

test("beginnings are cut from the end, to two letters", () => {
  assert.deepEqual(beginningsOf("rivr"), ["riv", "ri"]);
  assert.deepEqual(beginningsOf("abc"), ["ab"]);
  assert.deepEqual(
    beginningsOf("a".repeat(40)).map((one) => one.length),
    [9, 8, 7, 6, 5, 4, 3, 2],
  );
});

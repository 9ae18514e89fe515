import assert from "node:assert/strict";
import { test } from "node:test";
import { blockText } from "./block-text.ts";
import { loadParser, SourceText } from "./source-text.ts";

await loadParser();

function clausesOf(text: string) {
  const block = blockText(new SourceText("v", text));
  const words = (tokens: readonly { readonly text: string }[]) => tokens.map((token) => token.text).join(" ");
  return (
    block && {
      before: words(block.before),
      items: block.items.map(words),
      tables: words(block.tables),
      filtered: block.where !== null,
      groups: words(block.groups),
    }
  );
}

test("the clauses of the outermost SELECT are told from those of its subqueries and functions", () => {
  const text =
    "with a as (select x from t group by x) select a.x is distinct from 1 as d, extract(day from y) /* from */, \"from\", array[1, 2] from a, (select 1 where true) as b (y) where x in (select x from t) and 'group by' <> '' group by rollup (1, x), (y) having count(*) > 1 order by 1;";
  assert.deepEqual(clausesOf(text), {
    before: "with a as ( select x from t group by x )",
    items: ["a . x is distinct from 1 as d", "extract ( day from y )", '"from"', "array [ 1 , 2 ]"],
    tables: "a , ( select 1 where true ) as b ( y )",
    filtered: true,
    groups: "rollup ( 1 , x ) , ( y )",
  });
  const plain = { before: "", items: ["x"], tables: "t", filtered: false, groups: "" };
  for (const same of ["select x from t", "(select x from t)", "((SELECT x FROM t))", "select x from t limit 1"])
    assert.deepEqual(clausesOf(same), plain, same);
});

test("set operations and what reads no table have no such clauses", () => {
  for (const text of [
    "select x from t union select x from t",
    "select 1",
    "values (1)",
    "(select 1) except select x from t",
  ])
    assert.equal(clausesOf(text), null, text);
});

test("behind a dot and behind AS every word is a name", () => {
  const named = (text: string) => clausesOf(text)?.items;
  assert.deepEqual(named("select t.from, t.distinct from t"), ["t . from", "t . distinct"]);
  assert.deepEqual(named("select x as from, y as select, t.as a from t"), ["x as from", "y as select", "t . as a"]);
  assert.equal(
    clausesOf("select x from t where t.group = 1 and t.union is null group by t.where")?.groups,
    "t . where",
  );
});

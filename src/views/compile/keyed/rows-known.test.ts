import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, table } from "../compile-fixture.ts";
import { loadParser } from "../source-text.ts";

await loadParser();

const mirrors = ["r", "s", "t"].map((name, i) =>
  table(i + 1, name, ["id integer", "a integer?", "b integer?", "f boolean?"], ["id"]),
);

const keyOf = (text: string) => compiled(text, mirrors).key?.join();
const selected = (...columns: readonly string[]) =>
  `select ${columns.map((column) => `${column} as ${column.replace(".", "_")}`).join(", ")}`;

test("a condition of an outer join tells the row without a value from the one that is kept, and not the other way round", () => {
  assert.equal(keyOf(`${selected("r.id", "s.id")} from r left join s on s.id = r.a`), "r_id");
  assert.equal(keyOf(`${selected("s.id", "r.id")} from r left join s on s.id = r.a`), "r_id");
  assert.equal(keyOf(`${selected("s.id", "r.id")} from r left join s on s.id = r.id`), "r_id");
});

test("around the outer join, whatever is joined to it, it tells no more than that", () => {
  const inner = `${selected("s.id", "t.id", "r.id")} from r left join s on s.id = r.id`;
  for (const around of ["join t on t.f", "left join t on t.f", "right join t on t.f"])
    assert.equal(keyOf(`${inner} ${around}`), "t_id,r_id", around);
  const right = `${selected("r.id", "s.id", "t.id")} from r right join s on r.a = s.id`;
  for (const around of ["join t on t.f", "right join t on t.f", "right join t on s.a = t.a or t.f"])
    assert.equal(keyOf(`${right} ${around}`), "r_id,s_id,t_id", around);
  assert.equal(
    keyOf(`${selected("s.id", "r.id", "t.id")} from t left join (r left join s on s.id = r.id) on r.a = t.a`),
    "r_id,t_id",
  );
});

test("a condition of an inner join tells both sides, inside of an outer join too", () => {
  const inner = "r join s on s.id = r.a";
  assert.equal(keyOf(`${selected("s.id", "r.id", "t.id")} from (${inner}) join t on t.id = s.b`), "r_id");
  assert.equal(keyOf(`${selected("s.id", "r.id", "t.id")} from (${inner}) left join t on t.f`), "r_id,t_id");
});

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { MillraceError } from "../../base/errors.ts";
import { loadParser } from "../compile/source-text.ts";
import { bindPolicy, type PolicyColumn } from "./bind-policy.ts";

before(loadParser);

const columns: readonly PolicyColumn[] = [
  { name: "customer_id", type: "integer" },
  { name: "owner", type: "text" },
  { name: "tags", type: "text[]" },
  { name: "levels", type: "integer[]" },
  { name: "public", type: "boolean" },
  { name: 'quo"ted', type: "uuid" },
  { name: "data", type: "jsonb" },
];

function refusalOf(policy: string): MillraceError {
  try {
    bindPolicy("orders_of", policy, columns);
  } catch (error) {
    assert.ok(MillraceError.is(error, "VIEW_POLICY_INVALID"), String(error));
    return error;
  }
  return assert.fail(`${policy} was not refused`);
}

test("a column that is not in the view is shown with a caret, and the nearest name is told", () => {
  const error = refusalOf("public or\n  custmer_id = claim('sub')");
  assert.match(error.message, /^view "orders_of": its policy cannot be used: there is no column "custmer_id"/);
  assert.match(error.message, /\nline 2: {3}custmer_id = claim\('sub'\)\n {10}\^$/);
  assert.equal(error.hint, 'Did you mean "customer_id"?');
  assert.deepEqual([error.details.line, error.details.character, error.details.option], [2, 3, "policy"]);
});

test("what is no condition over one row and the claims is refused", () => {
  const refused: readonly [string, RegExp][] = [
    ["customer_id", /of type int4, and no condition/],
    ["'x'", /a constant, and no condition/],
    ["tags", /of type text\[\], and no condition/],
    ["exists (select from shop.orders)", /it has a subquery/],
    ["customer_id in (select 1)", /it has a subquery/],
    ["owner = current_user", /who or when it is/],
    ["now() > '2020-01-01'", /who or when it is/],
    ["owner = current_setting('millrace.claims')", /not known to give the same answer/],
    ["random() > 0.5", /not known to give the same answer/],
    ["count(*) > 1", /count\(\) cannot stand here/],
    ["owner = claim(owner)", /claim\(\) names no claim/],
    ["owner = claim('a', 'b')", /claim\(\) names no claim/],
    ["owner = claim('')", /claim\(\) names no claim/],
    ["claim('level')::int[] = levels", /claim\(\) is cast to of type int4\[\]/],
    ["", /./],
    ["public) or (true", /./],
    ["public), (true", /not one condition/],
    ["public) from shop.orders where (true", /not one condition/],
    ["public) union all select (true", /not one condition/],
    ["public) as other, (true", /not one condition/],
    ["public) order by (public", /not one condition/],
    ["public); drop table x; select (true", /more than one statement/],
    ["public and", /syntax error/],
    ["other.owner = 'a'", /"other" is not in FROM/],
  ];
  for (const [policy, message] of refused) {
    if (policy === "public) or (true") {
      // Parentheses that come out even are one condition.
      assert.ok(bindPolicy("orders_of", policy, columns));
      continue;
    }
    assert.match(refusalOf(policy).message, message, policy);
  }
});

test("nothing of the text reaches the statement: names are quoted, texts are literals, comments go", () => {
  const { sql } = bindPolicy("orders_of", `"quo""ted" = claim('s''ub') and owner <> 'a''b' -- ) or true`, columns);
  const text = sql("v", "$1::jsonb");
  assert.ok(text.includes('v."quo""ted"') && text.includes(`'s''ub'`) && text.includes("'a''b'"), text);
  assert.ok(!text.includes("--") && !text.includes("true"), text);
});

test("claims are told once each, lists apart from texts", () => {
  const policy =
    "owner = claim('sub') or owner = claim('sub') or owner = any(claims('teams')) or owner = claim('teams')";
  assert.deepEqual(bindPolicy("orders_of", policy, columns).claims, [
    { name: "sub", many: false },
    { name: "teams", many: true },
    { name: "teams", many: false },
  ]);
});

test("columns of which a value must be found are those of equalities that must hold", () => {
  const of = (policy: string) => bindPolicy("orders_of", policy, columns).equalities;
  assert.deepEqual(of("customer_id = claim('sub')"), ["customer_id"]);
  assert.deepEqual(of("claim('sub')::int = orders_of.customer_id and not public"), ["customer_id"]);
  assert.deepEqual(of("public and owner = any(claims('teams'))"), ["owner"]);
  assert.deepEqual(of("public or customer_id = claim('sub')"), []);
  assert.deepEqual(of("customer_id > claim('sub')"), []);
  assert.deepEqual(of("customer_id = 7"), []);
  assert.deepEqual(of("customer_id = length(owner)::int"), []);
});

test("conditions that nest and compare claims again and again are bound in time that does not double with each", () => {
  let policy = "owner = claim('x')";
  for (let i = 0; i < 60; i++) policy = `((${policy}) = claim('y'))`;
  assert.ok(bindPolicy("orders_of", policy, columns));
});

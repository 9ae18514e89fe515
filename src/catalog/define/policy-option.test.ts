import assert from "node:assert/strict";
import { test } from "node:test";
import { sql, view } from "../definitions.ts";

test("a policy is a condition as text, or null for none by its author's word; left out, nothing is said", () => {
  const policyOf = (policy?: string | null) =>
    view("orders_of", sql`select 1`, policy === undefined ? {} : { policy }).policy;
  assert.equal(policyOf("customer_id = claim('sub')"), "customer_id = claim('sub')");
  assert.equal(policyOf(null), null);
  assert.equal("policy" in view("orders_of", sql`select 1`), false);
  for (const wrong of ["", "  ", 7, true, {}, "x".repeat(8 * 1024 + 1)]) {
    assert.throws(() => policyOf(wrong as string), { code: "DEFINITION_INVALID", message: /policy is no condition/ });
  }
});

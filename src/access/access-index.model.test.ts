/** The index of rules against a look at every rule, after any sequence of rules that come and go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AccessIndex } from "./access-index.ts";
import { type AccessRule, decideAccess, nounKinds, ruleKey, verbs } from "./access-rules.ts";

const runs = 300 * Number(process.env.MILLRACE_TEST_RUNS ?? 1);

const name = fc.constantFrom("*", "a", "ab", "abc", "abcd", "b", "ba", "**", "*a");
const principal = fc.constantFrom("User:a", "User:b", "User:*", "Group:a");
const host = fc.constantFrom("*", "10.0.0.1", "10.0.0.2");
const kind = fc.constantFrom(...nounKinds.slice(0, 2));
const verb = fc.constantFrom(...verbs);
const rules: fc.Arbitrary<AccessRule> = fc.record({
  kind,
  pattern: fc.constantFrom("literal", "prefixed"),
  name,
  principal,
  host,
  verb,
  effect: fc.constantFrom("allow", "allow", "deny"),
});
const steps = fc.array(fc.record({ rule: rules, removes: fc.boolean() }), { maxLength: 30 });
const asks = fc.array(fc.record({ principal, host, verb, kind, name }), { minLength: 20, maxLength: 20 });
const openWithoutRule = fc.boolean();

test("the index answers what a look at all rules answers, and what one denies is never allowed", () => {
  fc.assert(
    fc.property(steps, asks, openWithoutRule, (steps, asks, openWithoutRule) => {
      const defaults = { superUsers: new Set(["User:c"]), openWithoutRule };
      const index = new AccessIndex();
      const all = new Map<string, AccessRule>();
      for (const { rule, removes } of steps) {
        const key = ruleKey(rule);
        // Of what is there something goes now and then, so that patterns empty.
        const gone = removes ? [...all.keys()][steps.length % Math.max(1, all.size)] : undefined;
        if (gone !== undefined) {
          assert.equal(index.remove(gone), true);
          all.delete(gone);
        }
        assert.equal(index.add(rule), !all.has(key));
        all.set(key, rule);
      }
      assert.equal(index.size, all.size);
      for (const ask of asks) {
        const expected = decideAccess(all.values(), ask.principal, ask.host, ask.verb, ask, defaults);
        assert.equal(
          index.allows(ask.principal, ask.host, ask.verb, ask.kind, ask.name, defaults),
          expected,
          JSON.stringify(ask),
        );
      }
      for (const rule of all.values()) {
        if (rule.effect !== "deny" || rule.host === "*") continue;
        assert.equal(index.allows(rule.principal, rule.host, rule.verb, rule.kind, rule.name, defaults), false);
      }
      for (const key of all.keys()) index.remove(key);
      assert.equal(index.allows("User:a", "h", "read", "topic", "a", defaults), openWithoutRule);
    }),
    { numRuns: runs },
  );
});

test("a decision does not look at rules of other names and other principals", () => {
  const index = new AccessIndex();
  const base = { kind: "topic", pattern: "literal", host: "*", verb: "read", effect: "allow" } as const;
  let looked = 0;
  for (let i = 0; i < 5_000; i++) {
    const rule = { ...base, name: i % 2 ? `t${i}` : "*", principal: `User:${i}` };
    index.add({
      ...rule,
      get host() {
        looked++;
        return "*";
      },
    });
  }
  looked = 0;
  const defaults = { superUsers: new Set<string>(), openWithoutRule: false };
  assert.equal(index.allows("User:7", "h", "read", "topic", "t7", defaults), true);
  assert.equal(index.allows("User:8", "h", "read", "topic", "t7", defaults), true);
  assert.equal(index.allows("User:9", "h", "read", "topic", "t7", defaults), false);
  assert.ok(looked <= 10, `${looked}`);
});

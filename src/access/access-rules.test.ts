import assert from "node:assert/strict";
import { test } from "node:test";
import { type AccessFilter, fitsFilter } from "./access-filter.ts";
import {
  type AccessDefaults,
  type AccessRule,
  decideAccess,
  decideAccessToAny,
  type Noun,
  ruleKey,
  ruleOfKey,
  type Verb,
} from "./access-rules.ts";

const closed: AccessDefaults = { superUsers: new Set(["User:root"]), openWithoutRule: false };
const open: AccessDefaults = { ...closed, openWithoutRule: true };
const orders: Noun = { kind: "topic", name: "orders" };

function rule(more: Partial<AccessRule> = {}): AccessRule {
  return {
    kind: "topic",
    pattern: "literal",
    name: "orders",
    principal: "User:alice",
    host: "*",
    verb: "read",
    effect: "allow",
    ...more,
  };
}

const allows = (rules: AccessRule[], verb: Verb = "read", noun = orders, host = "10.0.0.1", defaults = closed) =>
  decideAccess(rules, "User:alice", host, verb, noun, defaults);

test("who has no rule may do nothing, and who has one what it says", () => {
  assert.equal(allows([]), false);
  assert.equal(allows([rule()]), true);
  assert.equal(allows([rule()], "write"), false);
  assert.equal(allows([rule({ principal: "User:bob" })]), false);
  assert.equal(allows([rule({ verb: "all" })], "write"), true);
});

test("a rule for everybody is one for each, and a rule for a host only for that host", () => {
  assert.equal(allows([rule({ principal: "User:*" })]), true);
  assert.equal(allows([rule({ host: "10.0.0.1" })]), true);
  assert.equal(allows([rule({ host: "10.0.0.2" })]), false);
});

test("a rule that denies wins over all that allow, and denies nothing that it does not name", () => {
  const denied = rule({ effect: "deny", principal: "User:*" });
  assert.equal(allows([rule({ verb: "all" }), denied]), false);
  assert.equal(allows([denied, rule({ verb: "all" })]), false);
  assert.equal(allows([rule({ verb: "all" }), denied], "describe"), true);
  assert.equal(allows([rule({ verb: "all" }), rule({ verb: "all", effect: "deny", name: "*" })], "describe"), false);
});

test("read, write, delete and alter imply describe; alter-configs implies describe-configs", () => {
  for (const verb of ["read", "write", "delete", "alter", "describe", "all"] as const) {
    assert.equal(allows([rule({ verb })], "describe"), true, verb);
  }
  for (const verb of ["create", "alter-configs", "describe-configs", "cluster-action"] as const) {
    assert.equal(allows([rule({ verb })], "describe"), false, verb);
  }
  assert.equal(allows([rule({ verb: "alter-configs" })], "describe-configs"), true);
  assert.equal(allows([rule({ verb: "alter" })], "describe-configs"), false);
});

test("a prefix holds for all names that begin with it, and the literal star for all names", () => {
  assert.equal(allows([rule({ pattern: "prefixed", name: "ord" })]), true);
  assert.equal(allows([rule({ pattern: "prefixed", name: "orders2" })]), false);
  assert.equal(allows([rule({ pattern: "literal", name: "ord" })]), false);
  assert.equal(allows([rule({ name: "*" })]), true);
  assert.equal(allows([rule({ pattern: "prefixed", name: "*" })]), false);
  assert.equal(allows([rule({ kind: "group", name: "*" })]), false);
});

test("a noun without rules is as the operator says; one with rules for others is closed", () => {
  assert.equal(allows([], "read", orders, "h", open), true);
  assert.equal(allows([rule({ name: "other" })], "read", orders, "h", open), true);
  assert.equal(allows([rule({ principal: "User:bob" })], "read", orders, "h", open), false);
  assert.equal(allows([rule({ pattern: "prefixed", name: "o", verb: "write" })], "read", orders, "h", open), false);
});

test("super users are never refused", () => {
  const denied = rule({ principal: "User:*", effect: "deny", verb: "all" });
  assert.equal(decideAccess([denied], "User:root", "h", "read", orders, closed), true);
});

test("who may do it to any noun of a kind has a rule that no denial dominates", () => {
  const any = (rules: AccessRule[], defaults = closed) =>
    decideAccessToAny(rules, "User:alice", "h", "write", "topic", defaults);
  const write = (more: Partial<AccessRule>) => rule({ verb: "write", ...more });
  assert.equal(any([]), false);
  assert.equal(any([], open), true);
  assert.equal(any([write({})]), true);
  assert.equal(any([rule({ verb: "read" })]), false);
  assert.equal(any([write({ kind: "group" })]), false);
  assert.equal(any([write({}), write({ effect: "deny" })]), false);
  assert.equal(any([write({}), write({ effect: "deny", pattern: "prefixed", name: "or" })]), false);
  assert.equal(
    any([write({ pattern: "prefixed", name: "o" }), write({ effect: "deny", pattern: "prefixed", name: "or" })]),
    true,
  );
  assert.equal(any([write({ pattern: "prefixed", name: "orders" }), write({ effect: "deny" })]), true);
  assert.equal(any([write({}), write({ effect: "deny", name: "*" })]), false);
  assert.equal(any([write({ name: "*" }), write({ effect: "deny", name: "other" })]), true);
});

test("a rule's key says the rule, and nothing else is read as one", () => {
  const one = rule({ name: 'a","b', host: "[::1]", principal: "User:å,:" });
  assert.deepEqual(ruleOfKey(ruleKey(one)), one);
  for (const text of ["", "{", "[]", '["topic"]', '["topic","literal","a","b","c","fly","allow"]', "[1,2,3,4,5,6,7]"]) {
    assert.equal(ruleOfKey(text), undefined);
  }
});

test("filters: what is open fits all, a name its own patterns, and match all patterns that hold for it", () => {
  const anything: AccessFilter = {
    kind: null,
    pattern: null,
    name: null,
    principal: null,
    host: null,
    verb: null,
    effect: null,
  };
  const rules = [
    rule(),
    rule({ name: "*" }),
    rule({ pattern: "prefixed", name: "ord" }),
    rule({ pattern: "prefixed", name: "orders" }),
    rule({ name: "other", effect: "deny" }),
    rule({ kind: "group", name: "orders", verb: "describe" }),
  ];
  const found = (filter: Partial<AccessFilter>) =>
    rules.flatMap((each, i) => (fitsFilter(each, { ...anything, ...filter }) ? [i] : []));
  assert.deepEqual(found({}), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(found({ name: "orders" }), [0, 3, 5]);
  assert.deepEqual(found({ name: "orders", pattern: "literal" }), [0, 5]);
  assert.deepEqual(found({ name: "orders", pattern: "prefixed" }), [3]);
  assert.deepEqual(found({ name: "orders", pattern: "match", kind: "topic" }), [0, 1, 2, 3]);
  assert.deepEqual(found({ name: "*", pattern: "match" }), [1]);
  assert.deepEqual(found({ pattern: "match" }), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(found({ effect: "deny" }), [4]);
  assert.deepEqual(found({ verb: "describe", host: "*", principal: "User:alice" }), [5]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { nextTurn } from "../../base/turn.ts";
import { patternLengthMax } from "./consumer-pattern.ts";
import { instructionsMax, TopicPattern } from "./consumer-pattern-program.ts";
import { PatternResolver } from "./consumer-pattern-resolver.ts";

function compiled(source: string): TopicPattern {
  const pattern = TopicPattern.compile(source);
  assert.ok(pattern instanceof TopicPattern, `${source}: ${JSON.stringify(pattern)}`);
  return pattern;
}

function faultOf(source: string): string {
  const pattern = TopicPattern.compile(source);
  return "fault" in pattern ? pattern.fault : assert.fail(`${source} is taken`);
}

const matching: readonly (readonly [pattern: string, yes: readonly string[], no: readonly string[]])[] = [
  ["orders", ["orders"], ["orders-1", "my-orders", ""]],
  ["", [""], ["a"]],
  ["orders-.*", ["orders-", "orders-eu"], ["orders"]],
  ["a|bc|", ["a", "bc", ""], ["abc", "b"]],
  ["(a|b)+c?", ["a", "bab", "abc"], ["c", ""]],
  ["a{2,3}", ["aa", "aaa"], ["a", "aaaa"]],
  ["a{2}|b{0}", ["aa", ""], ["b", "a"]],
  ["a{,2}", ["a{,2}"], ["aa"]],
  ["a*?b+?", ["b", "aab"], ["a"]],
  ["[a-c_]+", ["abc_"], ["d", "a-"]],
  ["[^a-c]", ["d", "."], ["a", "dd"]],
  ["[]a-]+", ["a-"], ["b"]],
  ["[[:alpha:]]\\d\\w", ["a1_", "Z0z"], ["11a", "a1-"]],
  ["[[:^digit:][:digit:]]", ["1", "a"], ["ab"]],
  ["\\pL\\p{Lu}\\P{Nd}\\p{Greek}?", ["aBc"], ["ab1", "1Bc"]],
  ["(?i)orders(?-i)X", ["ORDERSX", "ordersX"], ["ordersx"]],
  ["(?i:a)b", ["Ab"], ["AB"]],
  ["((?i)a)b", ["Ab"], ["AB"]],
  ["(?i)\\x{212A}", ["k", "K"], ["a"]],
  ["\\x61\\x{62}\\143\\.", ["abc."], ["abcd"]],
  ["\\Qa.b\\E+", ["a.b", "a.bb"], ["axb"]],
  ["^\\Aa\\z$", ["a"], ["aa"]],
  ["a\\b.\\b.", ["a-b"], ["abc"]],
  ["a\\Bb", ["ab"], ["a-b"]],
  ["(?P<name>a)(?<other>b)", ["ab"], ["a"]],
  ["(?:(a*)*)*b", ["b", "aab"], ["a"]],
  [".", ["a", "."], ["", "é"]],
];

test("a pattern matches whole names, as RE2 has it", () => {
  for (const [source, yes, no] of matching) {
    const pattern = compiled(source);
    for (const name of yes) assert.ok(pattern.matches(name), `${source} and ${name}`);
    for (const name of no) assert.ok(!pattern.matches(name), `${source} and ${name}`);
  }
});

test("what RE2 refuses is refused, in its words", () => {
  const faults: Readonly<Record<string, readonly string[]>> = {
    "missing argument to repetition operator": ["*", "a|+", "(?i)*", "{1}"],
    "invalid nested repetition operator": ["a**", "a*+", "a{2}{3}", "a??*"],
    "invalid repeat count": ["a{1001}", "a{3,2}", "a{1001,}", "a{99999999999}"],
    "missing closing )": ["(", "(a", "((a)"],
    "missing closing ]": ["[", "[a", "[]", "[[:alpha:]"],
    "unexpected )": [")", "a)"],
    "invalid character class range": ["[z-a]", "[[:foo:]]", "\\p{Foo}", "\\p{L", "\\p", "\\p{constructor}"],
    "invalid escape sequence": ["\\1", "\\8", "\\C", "\\Z", "\\u0041", "\\E", "[a-\\d]", "\\x4", "\\x{110000}"],
    "invalid or unsupported Perl syntax": ["a(?=b)", "(?!a)", "(?>a)", "(?q)", "(?i-)", "(?P=a)"],
    "duplicate capture group name": ["(?P<n>a)(?P<n>b)"],
    "trailing backslash at end of expression": ["a\\"],
  };
  for (const [fault, sources] of Object.entries(faults)) {
    for (const source of sources) assert.equal(faultOf(source), fault, source);
  }
});

test("an expression that is too long, too large or too deep is refused", () => {
  assert.equal(faultOf("a".repeat(patternLengthMax + 1)), "expression too long");
  assert.equal(faultOf("(a{1000}){1000}"), "expression too large");
  assert.equal(faultOf("(((){1000}){1000}){1000}"), "expression too large");
  assert.equal(faultOf("(".repeat(2_000)), "expression nests too deeply");
  compiled(`${"(".repeat(400)}a${")".repeat(400)}`);
});

test("the work is bounded by the lengths of name and program, also where backtracking would take for ever", () => {
  for (const source of ["(a*)*b", "(a|a)*b", "(a|aa)+b", "(.*)*(.*)*x", `${"a?".repeat(200)}${"a".repeat(200)}`]) {
    const pattern = compiled(source);
    const name = "a".repeat(249);
    pattern.matches(name);
    assert.ok(pattern.steps <= (name.length + 1) * instructionsMax, source);
  }
  const pattern = compiled("(a*)*b");
  pattern.matches("a".repeat(249));
  assert.ok(pattern.steps < 250 * 12);
});

test("others have their turn while patterns are resolved, and one that takes too long is refused", async () => {
  const names = Array.from({ length: 2_000 }, (_, i) => `${"a".repeat(200)}${i}`);
  const resolver = new PatternResolver({ topicNames: () => names, stepsMax: 3_000_000 });
  let turns = 0;
  let isDone = false;
  const counting = (async () => {
    for (; !isDone; turns++) await nextTurn();
  })();
  const found = await resolver.resolve(
    () => ["a+1", "(a|aa|aaa|a?){30}.*"],
    (name) => !name.endsWith("0"),
  );
  isDone = true;
  await counting;
  assert.deepEqual(found.get("a+1"), [`${"a".repeat(200)}1`]);
  assert.deepEqual(found.get("(a|aa|aaa|a?){30}.*"), { fault: "it takes too long to match" });
  assert.ok(turns > 15, `${turns} turns`);
});

test("names that may not be seen are left out", async () => {
  const resolver = new PatternResolver({ topicNames: () => ["b", "a", "secret"] });
  const found = await resolver.resolve(
    () => [".*"],
    (name) => name !== "secret",
  );
  assert.deepEqual(found.get(".*"), ["a", "b"]);
});

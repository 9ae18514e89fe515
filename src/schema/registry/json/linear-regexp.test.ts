import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WorkBudget, WorkExceeded } from "../schema-limits.ts";
import { LinearRegExp } from "./linear-regexp.ts";

function matches(pattern: string, text: string, steps = 10_000_000): boolean {
  return new LinearRegExp(pattern).test(text, new WorkBudget(steps));
}

const texts = [
  "",
  "a",
  "ab",
  "aab",
  "b",
  "abc123",
  "ABC-9",
  "foo bar",
  "ä",
  "😀",
  "a\nb",
  "2024-02-29",
  "x".repeat(40),
  "_$.",
  "aaa",
  "]",
];

for (const pattern of [
  "",
  "a",
  "^a",
  "a$",
  "^$",
  "a|b",
  "(a|b)*c",
  "^(?:a+)+$",
  "a{2}",
  "a{2,}",
  "^a{1,2}b?$",
  "[a-c]+",
  "^[^a]*$",
  "\\d+",
  "^\\w+\\s\\w+$",
  "\\bbar\\b",
  "\\Boo",
  "^.$",
  "^[\\u{1F600}-\\u{1F64F}]$",
  "^\\p{L}+$",
  "^\\p{Lu}",
  "(?=.*b)^a",
  "^(?!.*b).*$",
  "(?<year>\\d{4})-\\d{2}",
  "^[\\]]$",
  "^\\x61",
  "^\\u0061",
  "\\.",
  "a*?b",
  "^(a|ab)(c|bcd)?$",
  "^\\-",
  "[\\w-]+",
  "(a*)*",
  "^[A-Z]{3}-\\d$",
]) {
  test(`the pattern ${pattern} matches what V8 says`, () => {
    let flags = "u";
    try {
      new RegExp(pattern, flags);
    } catch {
      flags = "";
    }
    const native = new RegExp(pattern, flags);
    for (const text of texts) assert.equal(matches(pattern, text), native.test(text), JSON.stringify(text));
  });
}

test("random patterns match what V8 says", () => {
  const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
    pattern: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "\\w", "^", "$", "\\b", "é"),
      fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => a + b),
      fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => `(?:${a}|${b})`),
      fc.tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "{2}", "{1,3}")).map(([a, q]) => `(?:${a})${q}`),
      tie("pattern").map((a) => `(?=${a})`),
      tie("pattern").map((a) => `(?!${a})`),
    ),
  }));
  const text = fc.string({ unit: fc.constantFrom("a", "b", "é", " ", "\n"), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (source, subject) => {
      assert.equal(matches(source, subject), new RegExp(source, "u").test(subject));
    }),
    { numRuns: 500 },
  );
});

test("a pattern that takes V8 longer than anybody lives takes time that grows with the text", () => {
  assert.equal(matches("^(a+)+$", `${"a".repeat(5000)}b`), false);
  assert.equal(matches("^(([a-z])+.)+[A-Z]([a-z])+$", "a".repeat(5000)), false);
  assert.equal(matches("(x+x+)+y", "x".repeat(2000)), false);
});

test("work that was not granted is not done", () => {
  assert.throws(() => matches("a{1000}", "a".repeat(100_000), 1000), WorkExceeded);
});

for (const [pattern, reason] of [
  ["(", /no regular expression/],
  ["(a)\\1", /back reference/],
  ["(?<=a)b", /lookbehind/],
  ["(?i:a)", /modifiers/],
  ["(a{1000}){1000}", /repetitions/],
  [`${"(".repeat(200)}${")".repeat(200)}`, /nested/],
] as const) {
  test(`the pattern ${pattern.slice(0, 20)} is refused: ${reason.source}`, () => {
    assert.throws(() => new LinearRegExp(pattern), reason);
  });
}

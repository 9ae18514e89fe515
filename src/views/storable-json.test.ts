import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../../test/support/postgres.ts";
import { jsonbProblem, jsonCharactersMax } from "./storable-json.ts";

let database: TestDatabase;
let client: pg.Client;

before(async () => {
  database = await testDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});

after(async () => {
  await client.end();
  await database[Symbol.asyncDispose]();
});

async function taken(texts: readonly string[]): Promise<boolean[]> {
  const { rows } = await client.query<{ takes: boolean }>(
    "select pg_input_is_valid(t, 'jsonb') as takes from unnest($1::text[]) with ordinality as u (t, n) order by n",
    [texts],
  );
  return rows.map(({ takes }) => takes);
}

async function assertAlike(texts: readonly string[]): Promise<void> {
  const server = await taken(texts);
  for (const [i, text] of texts.entries()) {
    assert.equal(jsonbProblem(text) === null, server[i], `${text.slice(0, 200)}: ${jsonbProblem(text)}`);
  }
}

const numbers = fc.oneof(
  fc.constantFrom(
    "0",
    "-0",
    "00",
    "01",
    "1.",
    ".5",
    "+1",
    "1e",
    "1e+",
    "0x1",
    "NaN",
    "Infinity",
    "-",
    "1-1",
    "0e1073741824",
  ),
  fc.constantFrom(
    "1e131071",
    "1e131072",
    "1e-16383",
    "1e-16384",
    "0e-16384",
    "-10e131070",
    "0.01e131073",
    "0.01e131074",
  ),
  fc
    .tuple(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: -200_000, max: 200_000 }))
    .map(([mantissa, exponent]) => `${String(mantissa).replace(/e.*/, "")}e${exponent}`),
  fc
    .tuple(fc.integer({ min: 1, max: 3_000 }), fc.integer({ min: 1, max: 17_000 }))
    .map(([whole, fraction]) => `${"7".repeat(whole)}.${"0".repeat(fraction)}`),
  fc.bigInt().map(String),
);

const pieces = fc.constantFrom(
  ...["\\u0000", "\\u0001", "\\ud800", "\\udc00", "\\ud83d\\ude00", "\\uD800\\uD800", "\\ud800\\u0041", "\\uDFFF"],
  ...[
    "\\ud83d\\",
    "\\u00",
    "\\uzzzz",
    "\\n",
    "\\/",
    "\\x",
    "\\\\",
    "\\\\u0000",
    "\u0001",
    "\u007f",
    "\ufeff",
    "é",
    "😀",
    "\uffff",
    "\t",
    '\\"',
  ],
);
const strings = fc
  .array(fc.oneof(pieces, fc.string({ maxLength: 4 })), { maxLength: 4 })
  .map((all) => `"${all.join("")}"`);

const { value: values } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(numbers, strings, strings, fc.constantFrom("true", "false", "null", "nul", "TRUE", "")),
    fc.array(tie("value"), { maxLength: 4 }).map((all) => `[${all.join(" ,")}]`),
    fc
      .array(fc.tuple(strings, tie("value")), { maxLength: 4 })
      .map((all) => `{${all.map((pair) => pair.join(":\n")).join(",")}}`),
  ),
}));

const mutated = fc
  .tuple(
    values,
    fc.nat(),
    fc.constantFrom("", '"', "\\", "[", "}", ",", "\ufeff", "\u00a0", "\u2028", " ", "1", "\\u0000"),
  )
  .map(([text, at, piece]) => {
    const place = text.length === 0 ? 0 : at % text.length;
    return text.slice(0, place) + piece + text.slice(place + (piece === "" ? 1 : 0));
  });

test("what passes is taken by PostgreSQL's jsonb, and what does not is refused by it", async () => {
  const texts = fc.array(fc.oneof(values, mutated), { minLength: 100, maxLength: 200 });
  const storable = texts.map((all) => all.filter((text) => text.isWellFormed() && !text.includes("\0")));
  await fc.assert(fc.asyncProperty(storable, assertAlike), { numRuns: 10, endOnFailure: true });
});

test("the edges of texts and numbers are those of jsonb", async () => {
  await assertAlike([
    ...[
      "",
      " ",
      "\ufeff1",
      "1\ufeff",
      "1 2",
      "[1,]",
      '{"a":1,}',
      '{"a":1,"a":2}',
      "'a'",
      '"a',
      '"\\',
      '"\\u',
      "{",
      "]",
    ],
    ...["0e1073741823", "0e1073741824", "0e-1073741823", "1e99999999999999999999", "1e-99999999999999999999"],
    ...[`1${"0".repeat(131_071)}`, `1${"0".repeat(131_072)}`, `0.${"0".repeat(16_382)}1`, `0.${"0".repeat(16_383)}1`],
    ...[`${"0".repeat(5)}1`, `0.${"0".repeat(16_383)}`, `0.${"0".repeat(16_384)}`, `0.${"0".repeat(16_390)}e10`],
    ...[
      '{"\\u0000":1}',
      '["\\\\u0000"]',
      '"\\ud83d\\ude00\\ud83d"',
      '"\\ude00"',
      '"\\ud83d\\ud83d\\ude00"',
      '"😀\\ud83d"',
    ],
  ]);
});

test("a text is refused with what is wrong with it", () => {
  const reasons: readonly (readonly [text: string, reason: RegExp])[] = [
    ["", /not JSON/],
    ["{", /not JSON/],
    ['{"a": "\\u0000"}', /U\+0000/],
    ['{"\\u0000": 1}', /U\+0000/],
    ['"\\ud800"', /surrogate/],
    ["[1e131072]", /out of range/],
    [`${"[".repeat(513)}${"]".repeat(513)}`, /nested deeper than 512/],
    [`"${"a".repeat(jsonCharactersMax)}"`, /more than 8388608 characters/],
  ];
  for (const [text, reason] of reasons) assert.match(jsonbProblem(text) ?? "", reason);
});

test("what is as deep and as long as it may be is taken", async () => {
  const deep = `${"[".repeat(512)}${"]".repeat(512)}`;
  const objects = `${'{"a":'.repeat(512)}1${"}".repeat(512)}`;
  const long = `"${"a".repeat(jsonCharactersMax - 2)}"`;
  const many = `[${"1,".repeat(jsonCharactersMax / 32)}1]`;
  for (const text of [deep, objects, long, many]) {
    assert.equal(jsonbProblem(text), null);
    assert.deepEqual(await taken([text]), [true]);
  }
});

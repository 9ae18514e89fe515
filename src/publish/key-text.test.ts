import assert from "node:assert/strict";
import { test } from "node:test";
import { keyTextOf } from "./key-text.ts";

const columns = [
  { name: "id", type: "integer" },
  { name: "big", type: "bigint" },
  { name: "price", type: "numeric(12,4)" },
  { name: "name", type: "text" },
  { name: "doc", type: "jsonb" },
];

const cases: readonly (readonly [what: string, key: readonly string[], row: string, text: string])[] = [
  ["a number is its digits", ["id"], '{"id":7,"name":"x"}', "7"],
  ["a text is as it is", ["name"], '{"name":"a, b/c%20 ä \\"q\\"\\n"}', 'a, b/c%20 ä "q"\n'],
  ["no digit of a large number is lost", ["big"], '{"big":"9007199254740993"}', "9007199254740993"],
  ["zeros at the end do not count", ["price"], '{"price":"10.5000"}', "10.5"],
  ["nor does the point before them", ["price"], '{"price":"100.00"}', "100"],
  ["zeros of a whole number do", ["price"], '{"price":"100"}', "100"],
  ["zeros of a text do", ["name"], '{"name":"1.50"}', "1.50"],
  [
    "what is no scalar stands as it is written",
    ["doc"],
    '{"doc":{"n": 12345678901234567890}}',
    '{"n": 12345678901234567890}',
  ],
  ["a null is told from the word", ["name"], '{"name":null}', "\0"],
  ["the word is the word", ["name"], '{"name":"null"}', "null"],
  [
    "parts are in the order of the key, encoded, with commas between",
    ["name", "id"],
    '{"id":7,"doc":{"id":8},"name":"a,b%"}',
    "a%2Cb%25,7",
  ],
  ["a null part as well", ["id", "name"], '{"id":null,"name":"x"}', "%00,x"],
  ["a view of one row has the empty key", [], '{"id":7}', ""],
];

for (const [what, key, row, text] of cases) {
  test(`the key of a record: ${what}`, () => assert.equal(keyTextOf(key, columns)(row), text));
}

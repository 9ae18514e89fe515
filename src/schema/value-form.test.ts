import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { writeCellJson } from "./cell-json.ts";
import { JsonBytes } from "./json-bytes.ts";
import { readJson } from "./json-token.ts";
import { jsonOfText, textOfJson, type ValueForm, valueForm } from "./value-form.ts";

function written(form: ValueForm, text: string): string {
  const out = new JsonBytes(16);
  const bytes = Buffer.from(`..${text}..`);
  writeCellJson(out, form, bytes, 2, bytes.length - 2);
  return out.bytes.toString("utf8", 0, out.end);
}

const textBack = (form: ValueForm, json: string) => textOfJson(form, readJson(json));

const cases: [type: string, text: string, json: string][] = [
  ["boolean", "t", "true"],
  ["boolean", "f", "false"],
  ["smallint", "-32768", "-32768"],
  ["bigint", "9223372036854775807", "9223372036854775807"],
  ["oid", "4294967295", "4294967295"],
  ["double precision", "1e-307", "1e-307"],
  ["double precision", "-0", "-0"],
  ["real", "NaN", '"NaN"'],
  ["real", "-Infinity", '"-Infinity"'],
  ["numeric(12,2)", "10.00", '"10.00"'],
  ["numeric", "NaN", '"NaN"'],
  ["text", 'a"b\\c\n\u0001é😀', '"a\\"b\\\\c\\n\\u0001é😀"'],
  ["character varying(5)", "", '""'],
  ["bytea", "\\x00ff10", '"AP8Q"'],
  ["bytea", "\\x", '""'],
  ["date", "2024-02-29", '"2024-02-29Z"'],
  ["date", "infinity", '"infinity"'],
  ["date", "0044-03-15 BC", '"0044-03-15 BC"'],
  ["date", "10000-01-01", '"10000-01-01"'],
  ["time(3) without time zone", "24:00:00", '"24:00:00Z"'],
  ["time with time zone", "10:00:00.5+05:30", '"10:00:00.5+05:30"'],
  ["timestamp without time zone", "2024-02-29 23:59:59.999999", '"2024-02-29T23:59:59.999999Z"'],
  ["timestamp without time zone", "-infinity", '"-infinity"'],
  ["timestamp without time zone", "0001-01-01 00:00:00 BC", '"0001-01-01 00:00:00 BC"'],
  ["timestamp(3) with time zone", "2024-02-29 23:59:59.5+00", '"2024-02-29T23:59:59.5Z"'],
  ["timestamp with time zone", "294276-12-31 23:59:59+00", '"294276-12-31 23:59:59+00"'],
  ["timestamp with time zone", "4713-01-01 00:00:00+00 BC", '"4713-01-01 00:00:00+00 BC"'],
  ["interval", "P1Y2M3DT4H5M6.7S", '"P1Y2M3DT4H5M6.7S"'],
  ["jsonb", '{"a": [1, null]}', '"{\\"a\\": [1, null]}"'],
  ["integer[]", "{}", "[]"],
  ["integer[]", "{{1,2},{3,NULL}}", "[[1,2],[3,null]]"],
  ["integer[]", "[0:1]={1,2}", '"[0:1]={1,2}"'],
  ["text[]", '{a,"b c",NULL,"NULL","","x\\"y\\\\","{}"}', '["a","b c",null,"NULL","","x\\"y\\\\","{}"]'],
  ["boolean[]", "{t,f,NULL}", "[true,false,null]"],
  ["bytea[]", '{"\\\\x00ff",NULL}', '["AP8=",null]'],
  ["bytea[]", '[2:2]={"\\\\x00ff"}', '"[2:2]={\\"\\\\\\\\x00ff\\"}"'],
  ["numeric(5,2)[]", "{1.50,NaN}", '["1.50","NaN"]'],
  ["timestamp with time zone[]", '{"2024-02-29 00:00:00+00",infinity}', '["2024-02-29T00:00:00Z","infinity"]'],
  ["double precision[]", "{1.5,NaN,-Infinity}", '[1.5,"NaN","-Infinity"]'],
];

for (const [type, text, json] of cases) {
  test(`${type} ${text} is ${json} in an event, and the same text again for a reader`, () => {
    const form = valueForm(type);
    assert.equal(jsonOfText(form, text), json);
    assert.equal(written(form, text), json);
    assert.equal(textBack(form, json), text);
  });
}

test("any text and any array of text comes back byte for byte", () => {
  const text = valueForm("text");
  const array = valueForm("text[]");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (value) => {
      if (value.includes("\u0000") || !value.isWellFormed()) return;
      assert.equal(textBack(text, written(text, value)), value);
      assert.equal(JSON.parse(written(text, value)), value);
      const one = `{"${value.replace(/["\\]/g, "\\$&")}",NULL}`;
      const back = textBack(array, written(array, one)) ?? "";
      assert.equal(written(array, back), written(array, one));
      assert.deepEqual(JSON.parse(written(array, one)), [value, null]);
    }),
  );
});

test("one byte that is no text is told as later servers print it, alone and in an array", () => {
  const json = (type: string, bytes: Buffer): string => {
    const out = new JsonBytes(16);
    writeCellJson(out, valueForm(type), bytes, 0, bytes.length);
    return out.bytes.toString("utf8", 0, out.end);
  };
  assert.equal(json('"char"', Buffer.from([0xff])), '"\\\\377"');
  assert.equal(json('"char"', Buffer.from("x")), '"x"');
  assert.equal(json('"char"', Buffer.from("\\377")), '"\\\\377"');
  assert.equal(json('"char"[]', Buffer.from("{x,\xff}", "latin1")), '["x","\\\\377"]');
  assert.equal(textBack(valueForm('"char"[]'), '["x","\\\\377"]'), '{x,"\\\\377"}');
});

test("text that is not of its type is refused, not guessed", () => {
  for (const [type, text] of [
    ["boolean", "maybe"],
    ["integer", "twelve"],
    ["bytea", "abc"],
    ["bytea", "\\x0"],
    ["integer[]", "{1,2"],
    ["integer[]", "{1,,2}"],
    ["integer[]", "{1}x"],
  ] as const) {
    assert.throws(() => written(valueForm(type), text), RangeError, `${type} ${text}`);
  }
});

test("a long text takes the room that it needs, and is exact", () => {
  const text = 'a"\n\u0001é'.repeat(50_000);
  const out = new JsonBytes(16);
  const bytes = Buffer.from(text);
  writeCellJson(out, valueForm("text"), bytes, 0, bytes.length);
  assert.equal(JSON.parse(out.bytes.toString("utf8", 0, out.end)), text);
  assert.equal(out.bytes.length, out.end);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../../base/errors.ts";
import { Cells, cellState } from "../cells.ts";
import { EnvelopeWriter } from "../envelope-writer.ts";
import { JsonBytes } from "../json-bytes.ts";
import type { TableShape } from "../table-shape.ts";
import { inAvsc } from "./avro/avro.fixture.ts";
import { AvroEnvelopeEncoder } from "./avro/envelope-encoder.ts";
import { checkCompatibility } from "./compatibility.ts";
import { parseSchema } from "./parse-schema.ts";
import { decodePayload, validatePayload } from "./payload.ts";
import { avroEnvelopeSchema, avroKeySchema, jsonEnvelopeSchema, jsonKeySchema } from "./table-schemas.ts";

function shapeOf(columns: readonly string[], key: readonly string[] | null = ["id"]): TableShape {
  return {
    source: "shop",
    schema: "public",
    table: "order lines",
    topic: "shop.public.order_lines",
    columns: columns.map((text) => {
      const [name = "", type = ""] = text.split(":");
      return { name, sourceType: type, storeType: type, nullable: name !== "id", carriedAsText: false };
    }),
    key,
    appendOnly: false,
  };
}

const everyType = [
  "id:bigint",
  "flag:boolean",
  "small:smallint",
  "whole:integer",
  "o:oid",
  "r:real",
  "d:double precision",
  "n:numeric(12,2)",
  "b:bytea",
  "day:date",
  "at:timestamp(3) with time zone",
  "doc:jsonb",
  "ints:integer[]",
  "raw:bytea[]",
  "a b:text",
  "a_b:text",
  "1st:text",
];

const row: Readonly<Record<string, string | null | undefined>> = {
  id: "9007199254740993",
  flag: "t",
  small: "-5",
  whole: "7",
  o: "4294967295",
  r: "0.1",
  d: "NaN",
  n: "10.00",
  b: "\\x00ff",
  day: "2024-02-29",
  at: "2024-02-29 12:00:00.5+00",
  doc: '{"a": 1}',
  ints: "{1,NULL,3}",
  raw: '{"\\\\x00ff",NULL}',
  "a b": "ä",
  a_b: null,
  "1st": "x",
};

function cells(shape: TableShape, values: readonly (string | null | undefined)[]): Cells {
  const found = new Cells(shape.columns.length);
  const bytes = Buffer.from(values.map((value) => value ?? "").join(""));
  found.reset(bytes, values.length);
  let at = 0;
  values.forEach((value, i) => {
    found.state[i] = value === undefined ? cellState.unchanged : value === null ? cellState.null : cellState.text;
    found.start[i] = at;
    at += Buffer.byteLength(value ?? "");
    found.end[i] = at;
  });
  return found;
}

const transaction = { id: "7:100", txId: 7, commitUs: 1_700_000_000_123_456, previousCommitLsn: 90, nowMs: 5 };

function written(shape: TableShape, values: readonly (string | null | undefined)[]): { value: Buffer; key: Buffer } {
  const writer = new EnvelopeWriter(shape, { version: "1.2.3", database: "db" }, new JsonBytes(16));
  writer.writeUpsert("u", cells(shape, values), null, transaction, 95, 2, 1);
  return { value: Buffer.from(writer.value), key: Buffer.from(writer.key ?? "{}") };
}

const shape = shapeOf(everyType);
const event = written(
  shape,
  shape.columns.map(({ name }) => row[name]),
);

test("the schemas have Debezium's names", () => {
  const envelope = JSON.parse(avroEnvelopeSchema(shape));
  assert.equal(`${envelope.namespace}.${envelope.name}`, "shop.public.order_lines.Envelope");
  assert.equal(envelope.fields[0].type[1].name, "Value");
  assert.deepEqual(JSON.parse(avroKeySchema(shape) ?? ""), {
    type: "record",
    name: "Key",
    namespace: "shop.public.order_lines",
    fields: [{ name: "id", type: "long" }],
    "connect.name": "shop.public.order_lines.Key",
    "millrace.captured": true,
  });
  assert.equal(JSON.parse(jsonEnvelopeSchema(shape)).title, "shop.public.order lines.Envelope");
  assert.equal(avroKeySchema(shapeOf(everyType, null)), null);
  assert.equal(jsonKeySchema(shapeOf(everyType, null)), null);
});

test("an event is the same event in Avro, value for value", () => {
  const encoder = new AvroEnvelopeEncoder(shape);
  const schema = parseSchema("AVRO", avroEnvelopeSchema(shape));
  const decoded = decodePayload(schema, encoder.value(event.value), { unions: "plain" });
  assert.ok(decoded.ok, JSON.stringify(decoded));
  assert.ok(decoded.json.includes('"id":9007199254740993'), "a long keeps its digits");
  const read = JSON.parse(decoded.json);
  const { ts_ns, ...source } = JSON.parse(event.value.toString()).source;
  assert.deepEqual({ ...read.source, ts_ns }, { ...source, ts_ns });
  assert.equal(read.op, "u");
  assert.deepEqual(read.transaction, { id: "7:100", total_order: 2, data_collection_order: 1 });
  assert.equal(read.before, null);
  const { id: _id, ...after } = read.after;
  assert.deepEqual(after, {
    flag: true,
    small: -5,
    whole: 7,
    o: 4294967295,
    r: 0.1,
    d: "NaN",
    n: "10.00",
    b: "\u0000\u00ff",
    day: "2024-02-29Z",
    at: "2024-02-29T12:00:00.5Z",
    doc: '{"a": 1}',
    ints: [1, null, 3],
    raw: ["\u0000\u00ff", null],
    a_b: "ä",
    a_b_2: null,
    _1st: "x",
  });
  const key = decodePayload(parseSchema("AVRO", avroKeySchema(shape) ?? ""), encoder.key(event.key));
  assert.deepEqual(key, { ok: true, json: '{"id":9007199254740993}' });
});

test("another library reads the event with the schema", () => {
  const small = shapeOf(["id:integer", "ints:integer[]", "name:text"]);
  const type = inAvsc(JSON.parse(avroEnvelopeSchema(small)));
  const { value } = written(small, ["7", "{1,2}", "x"]);
  const read = type.fromBuffer(new AvroEnvelopeEncoder(small).value(value));
  const { after } = JSON.parse(type.toString(read));
  assert.deepEqual(after["shop.public.order_lines.Value"], {
    id: { int: 7 },
    ints: { array: [{ int: 1 }, { int: 2 }] },
    name: { string: "x" },
  });
});

test("what the event does not tell is null, and arrays that are no plain lists are their text", () => {
  const small = shapeOf(["id:integer", "large:text", "grid:integer[]", "low:integer[]"]);
  const { value } = written(small, ["1", undefined, "{{1,2},{3,NULL}}", "[0:1]={7,8}"]);
  const schema = parseSchema("AVRO", avroEnvelopeSchema(small));
  const decoded = decodePayload(schema, new AvroEnvelopeEncoder(small).value(value), { unions: "plain" });
  assert.ok(decoded.ok);
  assert.deepEqual(JSON.parse(decoded.json).after, {
    id: 1,
    large: null,
    grid: "{{1,2},{3,NULL}}",
    low: "[0:1]={7,8}",
  });
});

test("an event fits the JSON Schema of its table, and another one does not", () => {
  const schema = parseSchema("JSON", jsonEnvelopeSchema(shape));
  assert.deepEqual(validatePayload(schema, event.value), []);
  assert.deepEqual(validatePayload(parseSchema("JSON", jsonKeySchema(shape) ?? ""), event.key), []);
  const wrong = Buffer.from(event.value.toString().replace('"flag":true', '"flag":"yes"'));
  assert.deepEqual(
    validatePayload(schema, wrong).map(({ path }) => path),
    ["/after/flag"],
  );
});

test("a column that comes or goes is compatible in Avro both ways", () => {
  const before = parseSchema("AVRO", avroEnvelopeSchema(shapeOf(["id:integer", "a:text"])));
  const after = parseSchema("AVRO", avroEnvelopeSchema(shapeOf(["id:integer", "b:bytea"])));
  assert.deepEqual(checkCompatibility("FULL", after, [before]).problems, []);
  const wider = parseSchema("AVRO", avroEnvelopeSchema(shapeOf(["id:bigint", "a:text"])));
  assert.deepEqual(checkCompatibility("BACKWARD", wider, [before]).problems, []);
});

test("bytes that are no event of the table are refused, whatever they are", () => {
  const encoder = new AvroEnvelopeEncoder(shape);
  const refused = (bytes: Buffer): void => {
    assert.throws(
      () => encoder.value(bytes),
      (error) => MillraceError.is(error, "SCHEMA_MISMATCH"),
    );
  };
  refused(Buffer.from("{}"));
  refused(Buffer.from(event.value.toString().replace('"small":-5', '"small":"x"')));
  refused(Buffer.from(event.value.toString().replace('"whole":7', '"whole":2147483648')));
  fc.assert(fc.property(fc.oneof(fc.uint8Array(), fc.json()), (bytes) => refused(Buffer.from(bytes as string))));
});

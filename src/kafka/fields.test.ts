import assert from "node:assert/strict";
import { test } from "node:test";
import {
  api,
  array,
  int16,
  int32,
  type RequestInput,
  type RequestOf,
  records,
  string,
  struct,
  uuid,
  zeroUuid,
} from "./fields.ts";

const example = api({
  key: 1000,
  name: "Example",
  versions: [0, 3],
  flexibleFrom: 2,
  request: struct({
    id: int32(),
    name: string({ nullable: 1 }),
    parts: array(struct({ records: records({ nullable: 0 }), topicId: uuid({ from: 3 }) })),
    late: array(int16(), { from: 2 }),
    options: struct({ wait: int32({ default: 500 }) }, { from: 2, tag: 0 }),
  }),
  response: struct({}),
});

/** Compiles only when the types are the same. */
function isType<Expected>(value: Expected): Expected {
  return value;
}

test("the type of a decoded message has every field, and null where some version has null", () => {
  const decoded = (request: RequestOf<typeof example>) => [
    isType<number>(request.id),
    isType<string | null>(request.name),
    isType<readonly { readonly records: Buffer | null; readonly topicId: string }[]>(request.parts),
    isType<readonly number[]>(request.late),
    isType<number>(request.options.wait),
    // @ts-expect-error: there is no such field
    request.unknown,
    // @ts-expect-error: it may be null
    request.name.length,
  ];
  assert.equal(typeof decoded, "function");
});

test("the type of an input lets those fields out that have a default, and no others", () => {
  const inputs: readonly RequestInput<typeof example>[] = [
    { id: 1, parts: [] },
    { id: 1, parts: [{}] },
    { id: 1, name: null, parts: [{ records: null }, { records: [Buffer.alloc(1)] }], late: [1], options: {} },
    // @ts-expect-error: the id is missing
    { parts: [] },
    // @ts-expect-error: there is no such field
    { id: 1, parts: [], unknown: 1 },
    // @ts-expect-error: parts are never null
    { id: 1, parts: null },
  ];
  assert.equal(inputs.length, 6);
});

test("a field's default is what was said, else null, else the type's zero", () => {
  assert.deepEqual(example.request.default, {
    id: 0,
    name: null,
    parts: [],
    late: [],
    options: { wait: 500 },
  });
  assert.equal(string().default, "");
  assert.equal(string({ nullable: 0, default: "x" }).default, "x");
  assert.equal(uuid().default, zeroUuid);
  assert.equal(struct({ a: int32() }, { nullable: 0 }).default, null);
});

test("defaults are shared by all messages, and cannot be changed", () => {
  assert.ok(Object.isFrozen(example.request.default));
  assert.ok(Object.isFrozen(example.request.fields.late.default));
});

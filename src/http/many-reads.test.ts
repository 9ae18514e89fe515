import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { encodeToken } from "../feeds/token.ts";
import type { SnapshotRead, SnapshotResult, Views, WaitTarget } from "../views/view-info.ts";
import { ask, openTestDoor, partial } from "./door-fixture.ts";

const position = { generation: 2, batch: 41 };
const token = encodeToken({ kind: "group", ...position });

function openDoor(results: readonly SnapshotResult[] = [{ rows: [], next: null }]) {
  const asked: (readonly SnapshotRead[])[] = [];
  const waited: WaitTarget[] = [];
  const views = partial<Views>("views", {
    readAll: async (reads) => {
      asked.push(reads);
      return { position, results };
    },
    waitFor: async (target) => void waited.push(target),
  });
  return openTestDoor({ views }).then((door) => ({
    asked,
    waited,
    read: (body: unknown, headers: Record<string, string> = {}) =>
      ask(door, "/v1/read", {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    [Symbol.asyncDispose]: () => door.close(),
  }));
}

const page = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };

test("reads are those of one view, as text or as an object, and are answered in their order with one token", async () => {
  await using door = await openDoor([
    { rows: ['{"id":"12345678901234567890"}', '{"id":"2"}'], next: "c", total: 7 },
    { row: '{"id":1}' },
    { row: null },
  ]);
  const answer = await door.read({
    reads: [
      { view: "orders", query: "?status=eq.a%20b&order=id.desc&limit=2" },
      { view: "orders", query: { status: "eq.a b", order: "id.desc", limit: 2 } },
      { view: "stock", key: ["7", "a/b"], query: "select=id" },
      { view: "one", key: [] },
    ],
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["millrace-token"], token);
  assert.equal(
    answer.text,
    `{"token":"${token}","results":[{"rows":[{"id":"12345678901234567890"},\n{"id":"2"}],"next":"c","total":7},\n{"row":{"id":1}},\n{"row":null}]}\n`,
  );
  const query = {
    ...page,
    filter: { kind: "compare", column: "status", operator: "eq", values: ["a b"], negated: false },
    order: [{ column: "id", descending: true, nulls: null }],
    limit: 2,
  };
  assert.deepEqual(door.asked, [
    [
      { view: "orders", query },
      { view: "orders", query },
      { view: "stock", key: ["7", "a/b"], select: ["id"] },
      { view: "one", key: [], select: null },
    ],
  ]);
});

test("they wait for the token beside them, or for that of the header", async () => {
  await using door = await openDoor();
  const reads = [{ view: "orders" }];
  const earlier = { generation: 2, batch: 7 };
  await door.read({ reads, after: encodeToken({ kind: "group", ...earlier }) });
  await door.read({ reads }, { "millrace-after": token });
  await door.read({ reads, after: null });
  assert.deepEqual(door.waited, [
    { kind: "group", position: earlier },
    { kind: "group", position },
  ]);
  const foreign = await door.read({ reads, after: "nonsense" });
  assert.equal((foreign.json() as { code: string }).code, "TOKEN_INVALID");
});

test("Prefer: count is of every list of rows", async () => {
  await using door = await openDoor();
  const reads = [{ view: "orders" }, { view: "orders", key: 7 }];
  const answer = await door.read({ reads }, { prefer: "count=exact" });
  assert.equal(answer.headers["preference-applied"], "count=exact");
  assert.deepEqual(door.asked[0], [
    { view: "orders", query: { ...page, count: "exact" } },
    { view: "orders", key: ["7"], select: null },
  ]);
});

test("what cannot be read is refused before anything is, and the refusal names the read", async () => {
  await using door = await openDoor();
  const one = { view: "orders" };
  for (const [body, detail] of [
    ["[]", /the body is no object/],
    ['{"reads": []}', /^the body is \{"reads"/],
    ['{"reads": {}}', /^the body is \{"reads"/],
    ['{"reads"', /the body is not JSON/],
    [{ reads: [one], aftr: token }, /no member "aftr"/],
    [{ reads: Array.from({ length: 51 }, () => one) }, /51 reads/],
    [{ reads: [one], after: 5 }, /after is no token/],
    [{ reads: [one, null] }, /^reads\[1\]: a read is no object/],
    [{ reads: [one, "orders"] }, /^reads\[1\]: a read is no object/],
    [{ reads: [one, {}] }, /^reads\[1\]: it names no view/],
    [{ reads: [one, { view: 7 }] }, /^reads\[1\]: it names no view/],
    [{ reads: [{ ...one, qeury: "a=eq.1" }] }, /^reads\[0\]: a read has no member "qeury"/],
    [{ reads: [{ ...one, query: 5 }] }, /^reads\[0\]: query is neither/],
    [{ reads: [{ ...one, query: { id: { eq: 5 } } }] }, /^reads\[0\]: query\.id is neither/],
    [{ reads: [{ ...one, query: { id: "eq.\0" } }] }, /^reads\[0\]: query\.id has a NUL/],
    [{ reads: [{ ...one, query: { id: Array.from({ length: 201 }, () => "eq.1") } }] }, /more than 200 parameters/],
    [{ reads: [{ ...one, query: "limit=0" }] }, /^reads\[0\]: limit is "0"/],
    [{ reads: [{ ...one, query: "id=%zz" }] }, /^reads\[0\]: the query string has a malformed/],
    [{ reads: [{ ...one, query: `after=${token}` }] }, /^reads\[0\]: after belongs beside reads/],
    [{ reads: [{ ...one, key: { id: 7 } }] }, /^reads\[0\]: key is neither/],
    [{ reads: [{ ...one, key: Array.from({ length: 33 }, () => 1) }] }, /^reads\[0\]: key has more than/],
    [{ reads: [{ ...one, key: 7, query: "a=eq.1" }] }, /^reads\[0\]: "a" has no meaning for one row/],
  ] as const) {
    const answer = await door.read(body);
    const problem = answer.json() as { code: string; detail: string; read?: number };
    assert.equal(answer.status, 400, JSON.stringify(body));
    assert.equal(problem.code, "REQUEST_INVALID");
    assert.match(problem.detail, detail);
    const index = /^reads\[(\d)\]/.exec(problem.detail)?.[1];
    assert.equal(problem.read, index === undefined ? undefined : Number(index));
  }
  const filter = await door.read({ reads: [one, { ...one, query: "id=nope.5" }] });
  assert.equal((filter.json() as { code: string }).code, "FILTER_INVALID");
  assert.equal((filter.json() as { read: number }).read, 1);
  assert.equal((await door.read("x", { "content-type": "text/plain" })).status, 415);
  assert.equal((await door.read(`"${"x".repeat(1024 * 1024)}"`)).status, 413);
  assert.deepEqual(door.asked, []);
});

test("an error of the reading is told with its status", async () => {
  const error = new MillraceError("VIEW_UNKNOWN", 'reads[1]: there is no view "x"', { details: { read: 1 } });
  const views = partial<Views>("views", { readAll: () => Promise.reject(error) });
  await using door = await openTestDoor({ views });
  const answer = await ask(door, "/v1/read", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"reads":[{"view":"a"},{"view":"x"}]}',
  });
  assert.equal(answer.status, 404);
  assert.equal((answer.json() as { read: number }).read, 1);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { QueryParameter } from "./query-string.ts";
import { parseQueryString } from "./query-string.ts";
import { parseLiveQuery, parseRowQuery } from "./row-query.ts";

const parse = (text: string) => parseRowQuery(parseQueryString(text), { rowsMax: 10_000 });
const live = (text: string) => parseLiveQuery(parseQueryString(text)).filter;

test("q is a term of the filter, and what rows are ranked and marked by", () => {
  const query = parse("q=river+mil*&highlight=title,body&status=eq.open");
  const term = { kind: "search", text: "river mil*", negated: false };
  assert.deepEqual(query.filter, {
    kind: "and",
    negated: false,
    of: [term, { kind: "compare", column: "status", operator: "eq", values: ["open"], negated: false }],
  });
  assert.deepEqual(query.find, { search: "river mil*", highlight: ["title", "body"] });
  assert.deepEqual(live("q=river+mil*"), term);
});

test("near is a place, within a distance with a unit, bbox four sides", () => {
  const center = { lat: 47.07, lon: -15.44 };
  assert.deepEqual(parse("near=47.07,-15.44").find, { near: center });
  assert.equal(parse("near=47.07,-15.44").filter, null);
  const distances = { "5km": 5_000, "250m": 250, "0.5mi": 804.672, "1nmi": 1_852, "0m": 0, "21000km": 21_000_000 };
  for (const [text, metres] of Object.entries(distances)) {
    const within = { kind: "within", center, metres, negated: false };
    assert.deepEqual(parse(`near=47.07,-15.44&within=${text}`).filter, within);
    assert.deepEqual(live(`near=47.07,-15.44&within=${text}`), within);
  }
  const box = { kind: "box", west: 170, south: -20, east: -170, north: -10.5, negated: false };
  assert.deepEqual(parse("bbox=170,-20,-170,-10.5").filter, box);
  assert.deepEqual(live("bbox=170,-20,-170,-10.5"), box);
});

test("similar is an operator with a threshold, at the top and inside of parentheses", () => {
  const term = { kind: "similar", column: "name", text: "smi.th, j", part: false, threshold: 0.3, negated: false };
  assert.deepEqual(parse("name=similar.smi.th,+j").filter, term);
  assert.deepEqual(parse("name=not.similar(0.55).smi.th,+j").filter, { ...term, threshold: 0.55, negated: true });
  assert.deepEqual(parse("name=word_similar.smi.th,+j").filter, { ...term, part: true, threshold: 0.6 });
  assert.deepEqual(parse('or=(name.similar(1)."smi.th, j",id.eq.1)').filter, {
    kind: "or",
    negated: false,
    of: [
      { ...term, threshold: 1 },
      { kind: "compare", column: "id", operator: "eq", values: ["1"], negated: false },
    ],
  });
});

test("what cannot be meant is refused, and says what would be right", () => {
  const refused: Record<string, RegExp> = {
    "q=": /q is empty/,
    "q=+": /q is empty/,
    [`q=${"x".repeat(1_001)}`]: /more than 1000/,
    "highlight=title": /no words to mark/,
    "q=a&highlight=title,": /names no column/,
    "within=5km": /no place/,
    "near=47": /near is "47"/,
    "near=91,0": /near is/,
    "near=0,180.1": /near is/,
    "near=NaN,0": /near is/,
    "near=1e1,0": /near is/,
    "near=0x10,0": /near is/,
    "near=1,2,3": /near is/,
    "near=1,2&within=5": /within is "5"/,
    "near=1,2&within=-5km": /within is/,
    "near=1,2&within=5parsecs": /within is/,
    "near=1,2&within=constructor": /within is/,
    "near=1,2&within=22000km": /within is/,
    "near=1,2&within=km": /within is/,
    "bbox=1,2,3": /bbox is/,
    "bbox=1,5,2,4": /bbox is/,
    "bbox=-181,0,1,1": /bbox is/,
    "name=similar(0).x": /threshold/,
    "name=similar(1.5).x": /threshold/,
    "name=similar(x).x": /threshold/,
    "data->>a=similar.x": /place inside a column/,
    "name=similra.x": /no operator/,
    [`name=similar.${"x".repeat(1_001)}`]: /more than 1000/,
  };
  for (const [text, message] of Object.entries(refused)) {
    assert.throws(() => parse(text), { code: "FILTER_INVALID", message }, text);
  }
  assert.throws(() => parse("q=a&q=b"), { code: "REQUEST_INVALID", message: /given twice/ });
});

test("a live view has no order to be near in, and nothing is marked in it", () => {
  assert.throws(() => live("near=1,2"), { code: "FILTER_INVALID", hint: /within/ });
  assert.throws(() => live("q=a&highlight=b"), { code: "FILTER_INVALID" });
});

test("a column of such a name is compared inside of parentheses, and in quotes", () => {
  const compare = (column: string) => ({ kind: "compare", column, operator: "eq", values: ["1"], negated: false });
  assert.deepEqual(parse("and=(q.eq.1)").filter, { kind: "and", negated: false, of: [compare("q")] });
  const quoted: QueryParameter[] = [{ name: '"near"', value: "eq.1" }];
  assert.deepEqual(parseRowQuery(quoted, { rowsMax: 10 }).filter, compare("near"));
});

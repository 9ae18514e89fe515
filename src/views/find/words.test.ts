import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { column, GroupFixture } from "../reader-fixture.ts";
import type { Filter, RowQuery, ViewsReader } from "../view-info.ts";
import type { FindFilter } from "./find-query.ts";

const none: RowQuery = { filter: null, order: [], select: null, limit: 10_000, offset: 0, cursor: null };
const words = (text: string): Filter => ({ kind: "search", text, negated: false });

/** Reads as `?q=` does. */
const q = (text: string, query: Partial<RowQuery> = {}): RowQuery => ({
  ...none,
  filter: words(text),
  find: { search: text },
  ...query,
});

const articles = [
  { id: 1, title: "Water mills of Styria", body: "Each mill on the river grinds, and the river never stops." },
  { id: 2, title: "Rivers", body: "A river runs. The river runs on. Rivers run to the sea, past a mill." },
  { id: 3, title: "The sea", body: "Running water meets salt." },
  { id: 4, title: '<b>alert("mill & race")</b>', body: "Tom's mill < a factory" },
  { id: 5, title: null, body: null },
  { id: 6, title: "Windräder", body: "Die Mühle am Fluss" },
];

describe("words of a view", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    const columns = [column("id", "integer"), column("title", "text", true), column("body", "text", true)];
    const weighted = [
      { column: "title", weight: "A" },
      { column: "body", weight: "C" },
    ] as const;
    for (const [name, language] of [
      ["english", "english"],
      ["plain", "simple"],
    ] as const) {
      const synonyms = [
        ["grinds", "sea", "salt"],
        ["stops", "runs"],
        ["the", "alert"],
      ];
      const find = { search: { columns: weighted, language }, fuzzy: [], geo: null };
      await fixture.createView(`${name} synonyms`, {
        columns,
        key: ["id"],
        find: { ...find, search: { ...find.search, synonyms } },
      });
      await fixture.commit(`${name} synonyms`, { upsert: articles });
      await fixture.createView(name, { columns, key: ["id"], find });
      await fixture.commit(name, { upsert: articles });
    }
  });
  after(() => fixture[Symbol.asyncDispose]());

  const read = async (view: string, query: RowQuery): Promise<Record<string, unknown>[]> =>
    (await reader.rows(view, query)).rows.map((row) => JSON.parse(row));
  const ids = async (view: string, text: string) => (await read(view, q(text))).map(({ id }) => id);

  test("are found by their stems in a language, and as they are without one", async () => {
    assert.deepEqual((await ids("english", "running")).toSorted(), [2, 3]);
    assert.deepEqual(await ids("plain", "running"), [3]);
    assert.deepEqual(await ids("plain", "MÜHLE"), [6]);
    assert.deepEqual(await ids("plain", "nothing of it"), []);
    assert.deepEqual(await ids("english", "the"), []);
  });

  test("phrases, or and not are understood, and nothing that is written is an error", async () => {
    assert.deepEqual(await ids("plain", '"river runs"'), [2]);
    assert.deepEqual((await ids("plain", "salt or grinds")).toSorted(), [1, 3]);
    assert.deepEqual(await ids("plain", "mill -river"), [4]);
    for (const text of [
      "&",
      "!!",
      "'",
      '"',
      "(((",
      "a:*b",
      ":*",
      "*",
      "or",
      "-",
      "\\",
      "x & | !",
      "%",
      "ab' --",
      "😀*",
    ]) {
      assert.ok(Array.isArray(await ids("plain", text)), text);
    }
  });

  test("a word finds its synonyms, in phrases and behind a minus too, by their stems, and nothing more", async () => {
    const found = async (view: string, text: string) => (await ids(`${view} synonyms`, text)).toSorted();
    assert.deepEqual(await found("plain", "salt"), [1, 2, 3]);
    assert.deepEqual(await found("plain", "grinds river"), [1, 2]);
    assert.deepEqual(await found("plain", "river -salt"), []);
    assert.deepEqual(await found("plain", '"river stops"'), [2]);
    assert.deepEqual(await found("plain", '"never runs"'), [1]);
    assert.deepEqual(await found("english", "grinding running"), [1, 2, 3]);
    assert.deepEqual(await found("plain", "fluss or mills"), [1, 6]);
    // Of words that the language passes over, nothing is left to look for.
    assert.deepEqual(await found("english", "alert"), [4]);
    assert.deepEqual(await found("english", "the"), []);
    assert.deepEqual(await ids("plain", "salt"), [3]);
    const [first] = await read(
      "plain synonyms",
      q("salt", {
        find: { search: "salt", highlight: ["body"] },
        filter: { kind: "and", negated: false, of: [words("salt"), words("tom or grinds -runs")] },
      }),
    );
    assert.match(JSON.stringify(first), /<mark>grinds<\/mark>|<mark>salt<\/mark>/);
  });

  test("the last word is a beginning when a star stands behind it", async () => {
    assert.deepEqual(await ids("plain", "grin*"), [1]);
    assert.deepEqual(await ids("plain", "grin"), []);
    assert.deepEqual(await ids("plain", "river gri*"), [1]);
    assert.deepEqual((await ids("plain", "salt or gri*")).toSorted(), [1, 3]);
    assert.deepEqual(await ids("plain", "mill -river fac*"), [4]);
    assert.deepEqual(await ids("plain", "müh*"), [6]);
    assert.deepEqual(await ids("plain", '"river gri*'), [], "inside of a phrase it is no more than a character");
  });

  test("rows come by rank, in which a title counts more than a body; the rank is a member that can be asked for", async () => {
    const found = await read("english", q("mill river", { select: ["id", "_rank"] }));
    const ranks = found.map((row) => row._rank as number);
    assert.deepEqual(
      found.map(({ id }) => id),
      [1, 2],
    );
    assert.equal((await ids("english", "mill")).at(-1), 2, "it has the word in its body only");
    assert.deepEqual(
      ranks,
      ranks.toSorted((a, b) => b - a),
    );
    assert.deepEqual(Object.keys((await read("english", q("mill")))[0] ?? {}), ["id", "title", "body"]);
    const byTitle = await read("english", q("mill", { order: [{ column: "title", descending: false, nulls: null }] }));
    assert.deepEqual(
      byTitle.map(({ id }) => id),
      [4, 2, 1],
    );
    const all = await read("english", q("mill", { select: [{ all: true }, "_rank"], limit: 1 }));
    assert.deepEqual(Object.keys(all[0] ?? {}), ["id", "title", "body", "_rank"]);
  });

  test("pages by rank tell the same rows as one page, also where ranks are equal", async () => {
    await fixture.commit("plain", {
      upsert: Array.from({ length: 95 }, (_, i) => ({
        id: 100 + i,
        title: i % 3 ? "page" : "page page",
        body: "turn",
      })),
    });
    const whole = await ids("plain", "page");
    const paged: unknown[] = [];
    for (let cursor: string | null = null, more = true; more; more = cursor !== null) {
      const answer = await reader.rows("plain", q("page", { limit: 10, cursor }));
      paged.push(...answer.rows.map((row) => JSON.parse(row).id));
      cursor = answer.next;
    }
    assert.deepEqual(paged, whole);
    assert.equal(new Set(paged).size, 95);
  });

  test("marks stand around the words in a piece of the text, and everything else is escaped", async () => {
    const find = (text: string) => ({ find: { search: text, highlight: ["title", "body"] }, filter: words(text) });
    const [row] = await read("plain", { ...none, ...find("race") });
    assert.deepEqual(row?._highlight, {
      title: "alert(&quot;mill &amp; <mark>race</mark>",
      body: "Tom&#39;s mill &lt; a factory",
    });
    const [plural] = await read("english", { ...none, ...find("mill -race"), select: ["id"] });
    assert.match(JSON.stringify(plural?._highlight), /^{"title":"Water <mark>mills<\/mark>/);
    assert.deepEqual(Object.keys(plural ?? {}), ["id", "_highlight"]);
    const refused = { ...none, filter: words("a"), find: { search: "a", highlight: ["id"] } };
    await assert.rejects(reader.rows("plain", refused), { code: "FILTER_INVALID", message: /"id", which is integer/ });
  });

  test("a live view tells what gains the words, and what loses them", async () => {
    const { position } = await reader.snapshot("english", words("mills"));
    await fixture.commit("english", {
      upsert: [
        { id: 3, title: "The sea", body: "There is a tide mill." },
        { id: 4, title: "gone", body: null },
        { id: 6, title: "x", body: "y" },
      ],
    });
    const changes = await reader.changesSince("english", position, words("mills"));
    assert.deepEqual(
      changes.outcome === "changes" && changes.batches.flatMap((one) => one.changes.map(({ op, key }) => [op, key])),
      [
        ["upsert", '{"id":3}'],
        ["delete", '{"id":4}'],
      ],
    );
    const { pages } = await reader.snapshot("english", words("mills"));
    const seen: number[] = [];
    for await (const page of pages) seen.push(...page.map((row) => JSON.parse(row).id));
    assert.deepEqual(seen, [1, 2, 3]);
  });

  test("a row with more words than a vector holds, or with one that is too long, is found by what it begins with", async () => {
    const many = Array.from({ length: 60_000 }, (_, i) => `${String.fromCodePoint(0x20000 + i)}-${i}`).join(" ");
    await fixture.commit("plain", {
      upsert: [
        { id: 900, title: `overfull ${many}`, body: "overfull" },
        { id: 901, title: `toolong ${"x".repeat(100_000)}`, body: "\u{10ffff}\u{1}" },
      ],
    });
    assert.deepEqual(await ids("plain", "overfull"), [900]);
    assert.deepEqual(await ids("plain", "toolong"), [901]);
    await fixture.commit("plain", { remove: [{ id: 900 }, { id: 901 }] });
  });

  test("a view without the option is not searched, and says which option is missing", async () => {
    await fixture.createView("bare", { columns: [column("id", "integer"), column("name", "text")], key: ["id"] });
    const terms: [FindFilter, string][] = [
      [{ kind: "search", text: "a", negated: false }, "search"],
      [{ kind: "similar", column: "name", text: "a", part: false, threshold: 0.5, negated: false }, "fuzzy"],
      [{ kind: "within", center: { lat: 0, lon: 0 }, metres: 1, negated: false }, "geo"],
      [{ kind: "box", west: 0, east: 1, south: 0, north: 1, negated: false }, "geo"],
    ];
    for (const [filter, option] of terms) {
      const refusal = {
        code: "VIEW_OPTION_MISSING",
        details: { view: "bare", option },
        hint: new RegExp(`${option}: `),
      };
      await assert.rejects(reader.rows("bare", { ...none, filter }), refusal);
      await assert.rejects(reader.snapshot("bare", filter), refusal);
    }
    await assert.rejects(reader.rows("bare", { ...none, find: { near: { lat: 0, lon: 0 } } }), {
      code: "VIEW_OPTION_MISSING",
    });
  });
});

/** pg_trgm's: words of letters and digits in small letters, two blanks before and one behind. */
function trigrams(text: string): Set<string> {
  const found = new Set<string>();
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
    const padded = [...`  ${word} `];
    for (let i = 0; i + 3 <= padded.length; i++) found.add(padded.slice(i, i + 3).join(""));
  }
  return found;
}

function similarity(a: string, b: string): number {
  const [of, other] = [trigrams(a), trigrams(b)];
  const shared = [...of].filter((one) => other.has(one)).length;
  const all = of.size + other.size - shared;
  return all === 0 ? 0 : Math.fround(shared / all);
}

describe("names of a view", () => {
  const random = seededRandom(5);
  const syllables = ["an", "ber", "smi", "th", "jo", "son", "ka", "ma", "ria", "el", "é"];
  const name = () => Array.from({ length: 1 + random.below(4) }, () => syllables[random.below(11)]).join("");
  const names = [
    "John Smith",
    "Jon Smyth",
    "SMITH, JOHN",
    "Zoë Müller",
    "",
    "%_'\\",
    ...Array.from({ length: 600 }, () => (random.below(2) ? name() : `${name()} ${name()}`)),
  ];
  let fixture: GroupFixture;
  let reader: ViewsReader;
  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    await fixture.createView("people", {
      columns: [column("id", "integer"), column("name", "text", true), column("nick", "text", true)],
      key: ["id"],
      find: { search: null, fuzzy: ["name", "nick"], geo: null },
    });
    await fixture.commit("people", { upsert: [...names, null].map((one, id) => ({ id, name: one, nick: "nick" })) });
  });
  after(() => fixture[Symbol.asyncDispose]());

  const term = (text: string, threshold: number, more: Partial<FindFilter> = {}): FindFilter =>
    ({ kind: "similar", column: "name", text, part: false, threshold, negated: false, ...more }) as FindFilter;
  const read = async (filter: Filter, query: Partial<RowQuery> = {}): Promise<Record<string, unknown>[]> =>
    (await reader.rows("people", { ...none, filter, ...query })).rows.map((row) => JSON.parse(row));
  const folded = (text: string) => text.normalize("NFKD").replaceAll(/\p{M}/gu, "");

  test("are found at exactly the similarity that is asked for, the most similar first", async () => {
    for (const text of ["smith", "Jon Smith", "marianson", "zoe muller", "élber", names[40] ?? "", names[77] ?? ""]) {
      for (const threshold of [0.1, 0.3, 1 / 3, 0.5, 0.6, 0.7, 0.9, 1]) {
        const expected = names
          .map((one, id) => ({ id, similar: similarity(folded(one), folded(text)) }))
          .filter(({ similar }) => similar >= Math.fround(threshold) && similar > 0)
          .map(({ id, similar }) => ({ id, _similarity: Math.round(similar * 10_000) / 10_000 }))
          .toSorted((a, b) => b._similarity - a._similarity || a.id - b.id);
        const found = await read(term(text, threshold), { select: ["id", "_similarity"] });
        assert.deepEqual(found, expected, `${text} at ${threshold}`);
      }
    }
  });

  test("several terms hold together and each for itself, with thresholds of their own", async () => {
    const near = term("smith", 0.9);
    const far = term("john smith", 0.2);
    const both = await read({ kind: "and", negated: false, of: [term("smith", 0.3), term("john smith", 0.9)] });
    assert.deepEqual(
      both.map(({ id }) => id),
      [0, 2],
    );
    const model = (one: string) =>
      similarity(folded(one), "smith") >= 0.9 || similarity(folded(one), "john smith") >= 0.2;
    const either = await read({ kind: "or", negated: false, of: [near, far] });
    assert.deepEqual(
      either.map(({ id }) => id),
      names.flatMap((one, id) => (model(one) ? [id] : [])),
    );
    const not = await read({ kind: "and", negated: false, of: [term("smith", 0.3), { ...far, negated: true }] });
    assert.ok(not.every(({ name: one }) => similarity(folded(String(one)), "john smith") < 0.2));
  });

  test("a part of a name is found by word_similar", async () => {
    const long = "the quick brown jonathan smithson and company";
    await fixture.commit("people", { upsert: [{ id: 9_000, name: long, nick: null }] });
    const whole = await read(term("jonathan", 0.6));
    const part = await read(term("jonathan", 0.9, { part: true }));
    assert.ok(!whole.some(({ id }) => id === 9_000));
    assert.deepEqual(
      part.map(({ id }) => id),
      [9_000],
    );
    await fixture.commit("people", { remove: [{ id: 9_000 }] });
  });

  test("a live view tells who begins to resemble, and who ends", async () => {
    const filter = term("john smith", 0.7);
    const { position, pages } = await reader.snapshot("people", filter);
    const seen: number[] = [];
    for await (const page of pages) seen.push(...page.map((row) => JSON.parse(row).id));
    assert.deepEqual(seen, [0, 2]);
    await fixture.commit("people", {
      upsert: [
        { id: 0, name: "Jane Doe", nick: null },
        { id: 7, name: "Jöhn Smith", nick: null },
      ],
    });
    const changes = await reader.changesSince("people", position, filter);
    assert.deepEqual(
      changes.outcome === "changes" && changes.batches.flatMap((one) => one.changes.map(({ op, key }) => [op, key])),
      [
        ["delete", '{"id":0}'],
        ["upsert", '{"id":7}'],
      ],
    );
  });

  test("a column that does not exist, or has no such index, is refused", async () => {
    await assert.rejects(read(term("a", 0.5, { column: "nmae" })), { code: "COLUMN_UNKNOWN", hint: /"name"/ });
    await assert.rejects(read(term("a", 0.5, { column: "id" })), {
      code: "VIEW_OPTION_MISSING",
      hint: /fuzzy: \["id"\]/,
    });
    await assert.rejects(read(term("a\0", 0.5)), { code: "FILTER_INVALID" });
  });
});

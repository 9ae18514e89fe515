/**
 * What may have been meant by a search that found nothing: its words, with those that the view does not have replaced by
 * near ones that it has. Near words begin as the word does: they are found in the index of `search` by the word's
 * beginnings, of which the longest that is spelt right has the fewest others. Of each beginning a bounded number of rows is
 * looked at, and a suggestion is told only when it finds something under the read's own filter.
 */
import { quote } from "../../catalog/definitions.ts";
import { editDistance } from "../row-column.ts";
import { filterSql, Parameters } from "../row-filter.ts";
import type { ReadableView, Statement } from "../row-sql.ts";
import type { Filter, RowQuery } from "../view-info.ts";
import { configuration } from "./find-columns.ts";
import { searchable, searchSql } from "./find-filter.ts";
import { findIn } from "./find-rows.ts";

/** Runs a statement on its own snapshot, or in that of other reads. */
export type RunStatement = <Row extends object>(statement: Statement) => Promise<readonly Row[]>;

interface Word {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const wordsMax = 5;
const suggestionsMax = 3;
/** A word with an error before that many letters is not found. */
const beginningMin = 2;
const beginningsMax = 8;
/** Of each beginning, and of each row the words that begin so. */
const rowsMax = 100;
const wordsOfRowMax = 20;
const rowCharactersMax = 20_000;

/** At most three texts in place of the search's, the likeliest first; none where nothing near finds anything. */
export async function suggestionsFor(view: ReadableView, query: RowQuery, run: RunStatement): Promise<string[]> {
  const text = query.find?.search ?? "";
  const words = wordsOf(text);
  if (words.length === 0) return [];
  const unknown = await unknownWords(view, words, run);
  if (unknown.length === 0) return [];
  const near = await nearWords(view, unknown, run);
  if (near.some((list) => list.length === 0)) return [];
  const texts = Array.from({ length: suggestionsMax }, (_, i) => {
    const words = near.map((list) => list[Math.min(i, list.length - 1)] ?? "");
    return replaced(text, unknown, words);
  });
  return await thatFind(view, query.filter, text, [...new Set(texts)], run);
}

/** Those that must be there; a beginning is none, and `or` is no word. */
export function wordsOf(text: string): Word[] {
  return [...text.matchAll(/(?<![\p{L}\p{N}]|-)[\p{L}\p{N}]{3,40}(?![\p{L}\p{N}*])/gu)]
    .map(({ 0: word, index }) => ({ text: word, start: index, end: index + word.length }))
    .slice(0, wordsMax);
}

export function replaced(text: string, words: readonly Word[], by: readonly string[]): string {
  let [result, at] = ["", 0];
  for (const [i, { start, end }] of words.entries()) {
    result += text.slice(at, start) + (by[i] ?? "");
    at = end;
  }
  return result + text.slice(at);
}

async function unknownWords(view: ReadableView, words: readonly Word[], run: RunStatement): Promise<Word[]> {
  const parameters = new Parameters();
  const { options } = searchable(view);
  const language = configuration(options.search.language);
  const terms = words.map(({ text }): Filter => ({ kind: "search", text, negated: false }));
  const known = words.map(({ text }, i) => {
    // A word that the language passes over is no part of any query.
    const passed = `numnode(plainto_tsquery(${language}, ${parameters.addText(text, "q")})) = 0`;
    return `(${passed} or ${findsSql(view, terms[i] ?? null, parameters)})`;
  });
  const [row] = await run<{ known: boolean[] }>({ text: `select array[${known.join(", ")}] as known`, parameters });
  return words.filter((_, i) => row?.known[i] === false);
}

function findsSql(whole: ReadableView, filter: Filter | null, parameters: Parameters): string {
  const view = findIn(whole, filter, parameters);
  const rows = `select from ${view.publicView} as v where ${filterSql(view, filter, "v", parameters)}`;
  return `exists (${lazily(rows)} select from a)`;
}

/**
 * Rows as `a`, planned for all of them and ended after a few: who only wants some of an unknown number has the whole table
 * read until they come, and here there may be none.
 */
function lazily(rows: string): string {
  return `with a as materialized (${rows})`;
}

/** For each of the words those of the view that are nearest to it, the nearest first. */
async function nearWords(whole: ReadableView, words: readonly Word[], run: RunStatement): Promise<string[][]> {
  const parameters = new Parameters();
  const { columns } = searchable(whole).options.search;
  const text = `concat_ws(' ', ${columns.map(({ column }) => `v.${quote(column)}::text`).join(", ")})`;
  const view = findIn(whole, { kind: "search", text: "", negated: false }, parameters);
  const selects = words.flatMap(({ text: word }, i) =>
    beginningsOf(word).map((beginning) => {
      // Letters and digits: nothing that the grammars of queries and of expressions read. Stems are not made shorter.
      const begins = `to_tsquery(${configuration("simple")}, ${parameters.addText(`${beginning}:*`, "q")})`;
      const expression = parameters.addText(`\\m${beginning}[[:alnum:]]{0,40}`, "q");
      return (
        `(${lazily(`select left(${text}, ${rowCharactersMax}) as text from ${view.publicView} as v where ${searchSql(view, "v")} @@ ${begins}`)} ` +
        `select ${i} as word, m.value from (select text from a limit ${rowsMax}) as c cross join lateral ` +
        `(select f[1] as value from regexp_matches(c.text, ${expression}, 'gi') as f limit ${wordsOfRowMax}) as m)`
      );
    }),
  );
  const rows = await run<{ word: number; value: string }>({ text: selects.join(" union all "), parameters });
  return words.map(({ text }, i) =>
    nearestWords(
      text,
      rows.flatMap(({ word, value }) => (word === i ? [value] : [])),
    ),
  );
}

/** The longest first. */
export function beginningsOf(word: string): string[] {
  const letters = [...word];
  const lengths = Array.from({ length: letters.length - beginningMin }, (_, i) => letters.length - 1 - i);
  return lengths.slice(-beginningsMax).map((length) => letters.slice(0, length).join(""));
}

/** Those of the words that few edits make of this one; of as many edits the most frequent first. */
export function nearestWords(word: string, found: readonly string[]): string[] {
  const wanted = folded(word);
  const editsMax = wanted.length < 6 ? 1 : 2;
  const near = new Map<string, { readonly edits: number; count: number }>();
  const far = new Set([word.toLowerCase()]);
  for (const text of found) {
    const small = text.toLowerCase();
    const known = near.get(small);
    if (known !== undefined) known.count++;
    if (known !== undefined || far.has(small)) continue;
    const edits = editDistance(wanted, folded(small));
    if (edits <= editsMax) near.set(small, { edits, count: 1 });
    else far.add(small);
  }
  return [...near]
    .sort(([a, one], [b, other]) => one.edits - other.edits || other.count - one.count || (a < b ? -1 : 1))
    .slice(0, suggestionsMax)
    .map(([text]) => text);
}

function folded(text: string): string {
  return text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
}

/** Those of the texts that find something in place of the search's own. */
async function thatFind(
  view: ReadableView,
  filter: Filter | null,
  text: string,
  texts: readonly string[],
  run: RunStatement,
): Promise<string[]> {
  const parameters = new Parameters();
  const found = texts.map((one) => findsSql(view, filter && searching(filter, text, one), parameters));
  const [row] = await run<{ found: boolean[] }>({ text: `select array[${found.join(", ")}] as found`, parameters });
  return texts.filter((_, i) => row?.found[i] === true);
}

function searching(filter: Filter, text: string, other: string): Filter {
  if (filter.kind === "search") return filter.text === text ? { ...filter, text: other } : filter;
  if (filter.kind !== "and" && filter.kind !== "or") return filter;
  return { ...filter, of: filter.of.map((one) => searching(one, text, other)) };
}

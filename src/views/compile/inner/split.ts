/**
 * A query over one subquery, or over a join, taken apart: what that yields, and what is made of it. Where rows of the whole
 * cannot be traced to tables, those of the subquery may be.
 */
import type { SelectStmt } from "@pgsql/types";
import type { ScanToken } from "libpg-query";
import { quote } from "../../../catalog/definitions.ts";
import { type BlockText, blockText, closing, listed } from "../block-text.ts";
import { nameOf } from "../expression.ts";
import { walk } from "../inlining.ts";
import { isKeyword, SourceText } from "../source-text.ts";
import { splitJoin } from "./split-join.ts";

export interface Split {
  readonly inner: SourceText;
  /** What the rows are those of, in the author's words. */
  readonly label: string;
  /** Names that WITH gives the columns of the inner query, from the first one on. */
  readonly names: readonly string[];
  /** The rest, with this item of FROM in the place of the subquery. */
  readonly outer: (item: string) => SourceText;
}

/** Null where it reads anything else, be it in a subquery of an expression. */
export function splitQuery(source: SourceText): Split | null {
  const { statement } = source;
  const block = blockText(source);
  const [item, ...others] = statement.fromClause ?? [];
  if (block === null || item === undefined || statement.withClause?.recursive === true) return null;
  if (others.length > 0 || "JoinExpr" in item) {
    const { whereClause: _, ...outside } = statement;
    const split = readsElsewhere(outside) ? null : splitJoin(source, block);
    if (split === null) return null;
    const inner = innerOf(source, block.before, split.text);
    const outer = (rows: string) => new SourceText(source.view, split.outer(rows));
    return inner && { inner, label: "what it joins", names: [], outer };
  }
  if (readsElsewhere(statement)) return null;
  if ("RangeSubselect" in item) {
    if (item.RangeSubselect.lateral === true) return null;
    const end = closing(block.tables, 0);
    const [open, close] = [block.tables[0], block.tables[end]];
    const text = textOf(source, block.tables.slice(1, end));
    if (open?.text !== "(" || close === undefined || text === null) return null;
    const name = item.RangeSubselect.alias?.aliasname ?? "";
    const label = name === "" ? "its subquery" : subquery(name);
    return splitAt(source, block, { label, names: [], text, before: block.before, from: open, to: close, as: "" });
  }
  if (!("RangeVar" in item) || item.RangeVar.schemaname !== undefined) return null;
  const { relname = "", alias } = item.RangeVar;
  const named = queryNamed(relname, statement, block);
  const [name] = block.tables;
  const text = named === null ? null : textOf(source, named.body);
  if (named === null || name === undefined || text === null) return null;
  const as = alias === undefined ? ` as ${quote(relname)}` : "";
  const { names, before } = named;
  return splitAt(source, block, { label: subquery(relname), names, text, before, from: name, to: name, as });
}

function subquery(name: string): string {
  return `its subquery "${name}"`;
}

/** Outside of FROM and WITH. */
function readsElsewhere({ fromClause: _from, withClause: _with, ...rest }: SelectStmt): boolean {
  let reads = false;
  walk(rest, (node) => {
    if ("SubLink" in node) reads = true;
  });
  return reads;
}

interface Place {
  readonly label: string;
  readonly names: readonly string[];
  readonly text: string;
  /** WITH that the subquery may read. */
  readonly before: readonly ScanToken[];
  readonly from: ScanToken;
  readonly to: ScanToken;
  readonly as: string;
}

function splitAt(
  source: SourceText,
  { select, last }: BlockText,
  { label, names, text, before, from, to, as }: Place,
): Split | null {
  const inner = innerOf(source, before, text);
  if (inner === null) return null;
  return {
    inner,
    label,
    names,
    outer: (item) => {
      const replacements = new Map([[from.start, { end: to.end, text: `${item}${as}` }]]);
      return new SourceText(source.view, source.rewritten(replacements, { start: select.start, end: last.end }));
    },
  };
}

/** With the queries of WITH that it may read. */
function innerOf(source: SourceText, before: readonly ScanToken[], text: string): SourceText | null {
  const ctes = textOf(source, before);
  if (ctes !== null && !/^select\b/i.test(text)) return null;
  return new SourceText(source.view, ctes === null ? text : `${ctes} ${text}`);
}

/** A name of WITH: its query, and what stands before it. */
function queryNamed(name: string, { withClause }: SelectStmt, { before }: BlockText) {
  const ctes = (withClause?.ctes ?? []).flatMap((one) => ("CommonTableExpr" in one ? [one.CommonTableExpr] : []));
  const place = ctes.findIndex((one) => one.ctename === name);
  const [word, ...words] = before;
  const items = listed(words);
  const item = items[place];
  if (word === undefined || item === undefined || items.length !== ctes.length) return null;
  const as = item.findIndex((_, i) => isKeyword(item, i, "as"));
  const open = item.findIndex((token, i) => i > as && token.text === "(");
  const end = closing(item, open);
  if (as < 0 || open < 0 || end !== item.length - 1) return null;
  const [first] = item;
  const earlier =
    place === 0 || first === undefined ? [] : words.filter(({ start }) => start < first.start).slice(0, -1);
  const names = (ctes[place]?.aliascolnames ?? []).map(nameOf);
  return { names, body: item.slice(open + 1, end), before: earlier.length === 0 ? [] : [word, ...earlier] };
}

function textOf(source: SourceText, words: readonly ScanToken[]): string | null {
  const [first, last] = [words[0], words.at(-1)];
  if (first === undefined || last === undefined) return null;
  return source.rewritten(new Map(), { start: first.start, end: last.end });
}

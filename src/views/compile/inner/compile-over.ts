/**
 * Queries over a subquery that gathers rows, or over a join with one, where what they gather by is computed there: groups of groups by an aggregate,
 * counts of groups. No column of a table tells which of their rows a change reaches; rows of the subquery it does. These are
 * kept, out of sight, and the query over them is compiled as if they were a table, whose changes are those of a batch.
 */
import type { ViewDefinition } from "../../../catalog/definitions.ts";
import { quote } from "../../../catalog/definitions.ts";
import type { CompiledView, MirrorBinding } from "../../compiled-view.ts";
import { keyLine, timeLines } from "../explain.ts";
import { renamed } from "../from.ts";
import { viewHash } from "../hash.ts";
import { Untraceable } from "../keyed/alternative.ts";
import { bindWhole, derivedKey, tablesUsed } from "../keyed/compile-keyed.ts";
import { keptWords, wayLines } from "../keyed/explain-keyed.ts";
import { type TracedRows, traceRows } from "../keyed/trace-rows.ts";
import type { SourceText } from "../source-text.ts";
import { tableLabel } from "../tables.ts";
import {
  filledName,
  type InnerState,
  type InnerTables,
  innerIndex,
  innerMirror,
  innerTables,
  levelsMax,
  makeInnerState,
} from "./inner-state.ts";
import { type Split, splitQuery } from "./split.ts";

export interface OverRequest {
  readonly view: ViewDefinition;
  readonly version: number;
  readonly source: SourceText;
  readonly mirrors: readonly MirrorBinding[];
}

/** Of the query over the kept rows, which are the one mirror. */
export type CompileOuter = (request: OverRequest) => CompiledView;

/** Throws `Untraceable`, and what `compileOuter` throws. */
export function compileOverInner(request: OverRequest, compileOuter: CompileOuter): CompiledView {
  const { view, version, source, mirrors } = request;
  const inner = innerOf(source, request, 1);
  const over = (mirror: MirrorBinding) =>
    compileOuter({ view, version, source: inner.split.outer(inner.item), mirrors: [mirror] });
  const outer = over(inner.mirror);
  // What time lets in and out of kept rows would have to be found while they are recorded.
  if (outer.clock !== undefined) throw new Untraceable("time filters what is kept");
  const { mergeRows: _, ...kept } = outer;
  const { fill } = over(filledMirror(inner));
  const term = (place: "before" | "after") => outer.terms.filter((one) => one.place === place).map(({ sql }) => sql);
  const filled = inner.fills.map(({ name, sql }) => `${name} as (${sql})`).join(",\n");
  const { binding } = bindWhole({ source, mirrors });
  return {
    ...kept,
    hash: viewHash(view, source, inner.uses, inner.labels),
    class: "keyed",
    query: source.rewritten(binding.replacements),
    uses: inner.uses.map(({ mirror, columns }) => ({ mirrorId: mirror.id, columns })),
    innerTables: inner.tables.map(({ stateTable }) => stateTable),
    create: [...inner.create, ...indexesOver(inner, outer), ...outer.create],
    drop: [...outer.drop, ...inner.drop],
    fill: `with ${filled}\n${fill}`,
    connect: [...inner.connect, ...outer.connect],
    deltaTable: inner.deltaTable,
    clear: [...inner.clear, ...outer.clear],
    terms: inner.terms,
    ...inner.clock,
    recompute: [...inner.recompute(term("before"), term("after")), ...outer.recompute],
    mirrorIndexes: inner.mirrorIndexes,
    scans: [...inner.scans, ...outer.scans],
    explanation: explain(inner, outer),
  };
}

/** Kept rows with all that is kept beneath them. */
interface Inner extends InnerState, Pick<TracedRows, "terms" | "clock" | "mirrorIndexes"> {
  readonly split: Split;
  readonly rows: TracedRows;
  readonly mirror: MirrorBinding;
  readonly level: number;
  /** The item of FROM that stands for them. */
  readonly item: string;
  /** From the uppermost down. */
  readonly tables: readonly InnerTables[];
  /** From the lowest up. */
  readonly fills: readonly { readonly name: string; readonly sql: string }[];
  readonly uses: ReturnType<typeof tablesUsed>;
  readonly deltaTable: string;
  readonly scans: CompiledView["scans"];
  /** How each is kept, from the uppermost down. */
  readonly labels: readonly string[];
  /** Of the lowest, which reads tables. */
  readonly ways: TracedRows["ways"];
}

function innerOf(source: SourceText, request: OverRequest, level: number): Inner {
  const split = level > levelsMax ? null : splitQuery(source);
  if (split === null) throw new Untraceable("it is no query over a subquery");
  const { view, version, mirrors } = request;
  const tables = innerTables({ view: view.name, version }, level);
  try {
    const { rows, uses } = rowsOf(split.inner, mirrors, tables);
    const state = makeInnerState(rows, tables);
    const { terms, clock, mirrorIndexes, scans, ways } = rows;
    const { deltaTable } = tables;
    const label = labelOf(split, rows);
    return {
      ...placed(split, rows, tables, level),
      ...state,
      ...{ terms, clock, mirrorIndexes, scans, ways, uses, deltaTable },
      tables: [tables],
      fills: [{ name: filledName(level), sql: state.fill }],
      labels: [label],
    };
  } catch (cause) {
    if (!(cause instanceof Untraceable)) throw cause;
    return innerOver(split, innerOf(split.inner, request, level + 1), tables, level);
  }
}

/** Rows that are kept over others that are. */
function innerOver(split: Split, below: Inner, tables: InnerTables, level: number): Inner {
  const source = below.split.outer(below.item);
  const { rows } = rowsOf(source, [below.mirror], tables);
  if (rows.clock.clock !== undefined) throw new Untraceable("time filters what is kept");
  const state = makeInnerState(rows, tables);
  const fromFill = makeInnerState(rowsOf(source, [filledMirror(below)], tables).rows, tables);
  const term = (place: "before" | "after") => rows.terms.filter((one) => one.place === place).map(({ sql }) => sql);
  const indexes = rows.mirrorIndexes.map(({ columns }) => innerIndex(below.rows, tablesOf(below), columns));
  const { terms, clock, mirrorIndexes, uses, deltaTable, ways } = below;
  return {
    ...placed(split, rows, tables, level),
    ...{ terms, clock, mirrorIndexes, uses, deltaTable, ways },
    create: [...below.create, ...indexes, ...state.create],
    drop: [...state.drop, ...below.drop],
    connect: [...below.connect, ...state.connect],
    clear: [...below.clear, ...state.clear],
    fill: fromFill.fill,
    recompute: (before, after) => [
      ...below.recompute(term("before"), term("after")),
      ...state.recompute(before, after),
    ],
    scans: [...below.scans, ...rows.scans],
    tables: [tables, ...below.tables],
    fills: [...below.fills, { name: filledName(level), sql: fromFill.fill }],
    labels: [labelOf(split, rows), ...below.labels],
  };
}

function rowsOf(source: SourceText, mirrors: readonly MirrorBinding[], tables: InnerTables) {
  const { query: plain, binding, bind } = bindWhole({ source, mirrors });
  const key = derivedKey(plain);
  const rows = traceRows({
    source,
    plain,
    binding,
    bind,
    keyless: key === null,
    rowKey: () => key,
    nameColumns: (names) => names.map((_, i) => `c${i}`),
    tables,
  });
  return { rows: { ...rows, shown: plain.names }, uses: tablesUsed(rows.query, binding) };
}

function placed(
  split: Split,
  rows: TracedRows & { readonly shown: readonly string[] },
  tables: InnerTables,
  level: number,
) {
  const names = renamed(rows.shown, split.names);
  const columns = names.map((name, i) => `${quote(rows.columns[i] ?? "")} as ${quote(name)}`);
  return {
    split,
    rows,
    level,
    mirror: innerMirror(rows, tables, split.label),
    item: `(select ${columns.join(", ")} from millrace.${quote(tables.table)})`,
  };
}

/** The same rows while they are filled. */
function filledMirror({ mirror, level }: Inner): MirrorBinding {
  return { ...mirror, ...(mirror.kept && { kept: { ...mirror.kept, rows: filledName(level) } }) };
}

function tablesOf({ tables: [own] }: Inner): InnerTables {
  if (own === undefined) throw new Error("rows are kept in no table");
  return own;
}

function indexesOver(inner: Inner, outer: CompiledView): string[] {
  return outer.mirrorIndexes.map(({ columns }) => innerIndex(inner.rows, tablesOf(inner), columns));
}

function labelOf(split: Split, rows: TracedRows): string {
  return `the rows of ${split.label}, which nobody reads; ${keptWords(rows)}`;
}

function explain(inner: Inner, outer: CompiledView): string {
  const kept = outer.explanation.split("\n").find((line) => line.startsWith("kept: ")) ?? "";
  const reads = inner.uses.map(
    ({ mirror, columns }) =>
      `  ${tableLabel(mirror)} (${columns.length === 0 ? "its rows' number" : columns.join(", ")})`,
  );
  const lines = [
    "class: keyed",
    keyLine(outer.key),
    kept,
    ...inner.labels.map((label) => `kept beneath it: ${label}`),
    "reads:",
    ...reads.sort(),
    "on a change of:",
    ...wayLines(inner.ways),
    ...timeLines(inner.ways.flatMap(({ conjuncts }) => conjuncts)),
  ];
  return `${lines.join("\n")}\n`;
}

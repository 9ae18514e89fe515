/**
 * Queries that are run again as a whole: any SELECT over captured tables whose answer depends on nothing else. For views
 * that say `refresh`, when no better way is found.
 */
import { printDuration } from "../../base/units.ts";
import type { ViewDefinition } from "../../catalog/definitions.ts";
import type { CompiledView, MirrorBinding } from "../compiled-view.ts";
import { asksClock, clockNow } from "./clock.ts";
import { keyLine } from "./explain.ts";
import { refuse } from "./expression.ts";
import { viewHash } from "./hash.ts";
import { tooMany } from "./keyed/alternative.ts";
import { chooseRowKey, refuseOrder, tablesUsed } from "./keyed/compile-keyed.ts";
import { bindQuery } from "./keyed/queries.ts";
import type { TracedBinding } from "./keyed/traced.ts";
import { untracedQuery } from "./keyed/untraced.ts";
import { checkNames } from "./plan.ts";
import type { SourceText } from "./source-text.ts";
import { tableLabel } from "./tables.ts";
import { makeWholeState } from "./whole-state.ts";

export interface WholeRequest {
  readonly view: ViewDefinition;
  readonly version: number;
  readonly source: SourceText;
  readonly mirrors: readonly MirrorBinding[];
  readonly everyMs: number;
}

/** A CTE is bound wherever it is read: CTEs that read each other twice would be bound without end. */
const queriesMax = 1_000;

/** Throws as `compileView` does, and `Untraceable` for what is too much. */
export function compileWhole({ view, version, source, mirrors, everyMs }: WholeRequest): CompiledView {
  let queries = 0;
  const binding: TracedBinding = {
    source,
    mirrors,
    replacements: new Map(),
    used: new Map(),
    whole: true,
    bindQuery: (select, context) => {
      if (++queries > queriesMax) throw tooMany();
      return untracedQuery(bindQuery(select, context));
    },
  };
  refuseOrder(source.statement, binding);
  const query = binding.bindQuery(source.statement, { binding, ctes: new Map(), outer: [], path: "q", depth: 0 });
  const { names } = query;
  checkNames(names, binding);
  const outputs = query.alternatives[0]?.outputs ?? [];
  const record = names.find((_, i) => outputs[i]?.type.name === "record");
  if (record !== undefined) {
    throw refuse(binding, `column "${record}" is a record, which no table keeps`, undefined, `Select ${record}::text.`);
  }
  // A key that is named need not follow from anything: two rows with one key are met when they come.
  const determined = view.key === null ? query : { ...query, determines: () => true };
  const rowKey = chooseRowKey(determined, view, binding)?.map((i) => names[i] ?? "") ?? null;
  const uses = tablesUsed(query, binding);
  if (uses.length === 0)
    throw source.refusal("VIEW_UNSUPPORTED", "it reads no table", { hint: "Name a captured table in FROM." });
  const text = source.rewritten(binding.replacements);
  const timed = asksClock({ SelectStmt: source.statement });
  const required = names.filter((_, i) => outputs[i]?.notNull === true);
  const { deltaTarget, ...state } = makeWholeState(
    { names, required, query: text, rowKey, everyMs },
    { view: view.name, version },
  );
  return {
    name: view.name,
    version,
    hash: viewHash(view, source, uses, "whole"),
    class: "whole",
    query: text,
    key: rowKey,
    publicColumns: names,
    uses: uses.map(({ mirror, columns }) => ({ mirrorId: mirror.id, columns })),
    ...state,
    terms: uses.map(({ mirror: { id } }) => ({
      mirrorId: id,
      place: "after",
      sql: `insert into ${deltaTarget} select true from pg_temp.d_${id} limit 1`,
    })),
    ...(timed
      ? {
          clock: {
            terms: [`insert into ${deltaTarget} select true`],
            flips: [`(${clockNow} + interval '${everyMs} ms')`],
            topics: [],
          },
        }
      : {}),
    mirrorIndexes: [],
    scans: [],
    explanation: explain(rowKey, uses, everyMs, timed),
  };
}

function explain(
  key: readonly string[] | null,
  uses: ReturnType<typeof tablesUsed>,
  everyMs: number,
  timed: boolean,
): string {
  const reads = uses.map(({ mirror, columns }) => {
    return `  ${tableLabel(mirror)} (${columns.length === 0 ? "its rows' number" : columns.join(", ")})`;
  });
  const lines = [
    "class: whole",
    keyLine(key),
    `kept: its rows; the query is run again as a whole, every ${printDuration(everyMs)}${timed ? ", for it asks what time it is" : " at most and only when something that it reads has changed"}`,
    "reads:",
    ...reads.sort(),
    "on a change of each: the view is behind until the query has been run again; a read with after= has that done at once",
  ];
  return `${lines.join("\n")}\n`;
}

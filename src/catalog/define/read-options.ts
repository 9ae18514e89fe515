/** Ways in which a view can be read: the options `graph`, `series` and `index` of `view(…)`. */
import { MillraceError } from "../../base/errors.ts";
import { refuseUnknown } from "./names.ts";

export interface GraphOption {
  /** Columns with the two ends of an edge: whole numbers, texts or uuids, both of one kind. */
  readonly from: string;
  readonly to: string;
  /** What kind of edge it is, for `?label=`. */
  readonly label?: string;
  /** What it costs to take the edge, for the cheapest path. */
  readonly weight?: string;
}

export interface SeriesInput {
  /** The column with the time of a row: a timestamp or a date. */
  readonly time: string;
  /** Columns that say which series it belongs to. */
  readonly by?: readonly string[];
}

export interface SeriesOption {
  readonly time: string;
  readonly by: readonly string[];
}

/** A column, or a place in one of json: `"status"`, `"doc->>kind"`, `"doc->size"`. */
export type IndexedField = string;

export type IndexInput =
  | IndexedField
  /** By the first, within it by the second, and so on. */
  | readonly IndexedField[]
  /** What a column of jsonb, an array or a `tsvector` contains. */
  | { readonly gin: string };

export interface IndexField {
  readonly column: string;
  /** Keys, from the outside in. */
  readonly steps: readonly string[];
  /** The last one is taken as text. */
  readonly text: boolean;
}

export type IndexOption = { readonly fields: readonly IndexField[] } | { readonly gin: string };

export interface ReadOptionsInput {
  /** Rows are edges: for neighbours, what can be reached, and paths (`/v1/views/{view}/graph/…`). */
  readonly graph?: GraphOption;
  /** Rows are values of a time: for buckets with `?bucket=1h`, gaps that are filled, and `last()`. */
  readonly series?: SeriesInput;
  /** Indexes for filters and orders: `["status", ["status", "at"], "doc->>kind", { gin: "doc" }]`. */
  readonly index?: readonly IndexInput[];
}

export interface ReadOptions {
  readonly graph?: GraphOption;
  readonly series?: SeriesOption;
  readonly indexes?: readonly IndexOption[];
}

/** Names of these options, for messages. */
export const readOptionNames = ["graph", "series", "index"] as const;

/** Null when none of them is given. Throws `DEFINITION_INVALID`; whether the columns exist is the compiler's question. */
export function readOptions(view: string, { graph, series, index }: ReadOptionsInput): ReadOptions | null {
  if (graph === undefined && series === undefined && index === undefined) return null;
  return Object.freeze({
    ...(graph === undefined ? {} : { graph: graphOption(view, graph) }),
    ...(series === undefined ? {} : { series: seriesOption(view, series) }),
    ...(index === undefined ? {} : { indexes: indexOptions(view, index) }),
  });
}

function graphOption(view: string, graph: GraphOption): GraphOption {
  const form =
    'it takes { from: "follower", to: "followee", label: "kind", weight: "cost" }, the last two if there are';
  if (graph === null || typeof graph !== "object") throw invalid(view, "graph", form);
  refuseUnknown(`graph of view "${view}"`, graph, ["from", "to", "label", "weight"]);
  const { from, to, label, weight } = graph;
  for (const name of [from, to]) if (!isName(name)) throw invalid(view, "graph", form);
  for (const name of [label, weight]) if (name !== undefined && !isName(name)) throw invalid(view, "graph", form);
  if (from === to) throw invalid(view, "graph", "an edge leads from one column to another");
  return Object.freeze({
    from,
    to,
    ...(label === undefined ? {} : { label }),
    ...(weight === undefined ? {} : { weight }),
  });
}

const seriesColumnsMax = 16;

function seriesOption(view: string, series: SeriesInput): SeriesOption {
  const form = 'it takes { time: "at", by: ["sensor"] }, the last if there are several series';
  if (series === null || typeof series !== "object") throw invalid(view, "series", form);
  refuseUnknown(`series of view "${view}"`, series, ["time", "by"]);
  const { time, by = [] } = series;
  if (!isName(time) || !Array.isArray(by) || !by.every(isName)) throw invalid(view, "series", form);
  if (by.length > seriesColumnsMax) throw invalid(view, "series", `by names more than ${seriesColumnsMax} columns`);
  if (new Set([time, ...by]).size <= by.length) throw invalid(view, "series", "it names a column twice");
  return Object.freeze({ time, by: Object.freeze([...by]) });
}

const indexesMax = 32;
const indexFieldsMax = 16;
const indexForm =
  'it takes a list of columns, lists of columns and { gin: "doc" }: ["status", ["status", "at"], "doc->>kind"]';

function indexOptions(view: string, index: readonly IndexInput[]): readonly IndexOption[] {
  if (!Array.isArray(index)) throw invalid(view, "index", indexForm);
  if (index.length > indexesMax) throw invalid(view, "index", `it names more than ${indexesMax} indexes`);
  return Object.freeze(
    index.map((one: IndexInput): IndexOption => {
      if (typeof one === "object" && one !== null && !Array.isArray(one)) {
        refuseUnknown(`an index of view "${view}"`, one, ["gin"]);
        const { gin } = one as { gin: unknown };
        if (typeof gin !== "string" || gin === "") throw invalid(view, "index", indexForm);
        return Object.freeze({ gin });
      }
      const fields: readonly unknown[] = Array.isArray(one) ? one : [one];
      if (fields.length === 0) throw invalid(view, "index", indexForm);
      if (fields.length > indexFieldsMax)
        throw invalid(view, "index", `an index is over up to ${indexFieldsMax} columns`);
      return Object.freeze({ fields: fields.map((field) => indexField(view, field)) });
    }),
  );
}

/** `doc->a->>b` */
function indexField(view: string, field: unknown): IndexField {
  if (typeof field !== "string" || field.includes("\0")) throw invalid(view, "index", indexForm);
  const [column = "", ...rest] = field.split(/(->>?)/);
  const steps = rest.filter((_, i) => i % 2 === 1);
  const arrows = rest.filter((_, i) => i % 2 === 0);
  if (column === "" || steps.includes("") || arrows.slice(0, -1).includes("->>")) {
    throw invalid(
      view,
      "index",
      `${JSON.stringify(field.slice(0, 80))} is no column and no path such as doc->address->>city`,
    );
  }
  return { column, steps, text: arrows.at(-1) === "->>" };
}

function isName(name: unknown): boolean {
  return typeof name === "string" && name !== "";
}

function invalid(view: string, option: string, why: string): MillraceError {
  return new MillraceError("DEFINITION_INVALID", `view "${view}": ${option} cannot be used: ${why}`);
}

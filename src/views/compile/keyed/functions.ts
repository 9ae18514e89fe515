/** Functions that a recomputed query may call beside those of `function-list.ts`: it need not know how to undo them. */
import { functionName } from "../expression.ts";

/** Aggregates whose value depends on the rows alone (and on their order, where one is asked for). */
export const aggregates: ReadonlySet<string> = new Set(
  (
    "count sum avg min max bool_and bool_or every bit_and bit_or bit_xor any_value " +
    "array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg json_agg_strict jsonb_agg_strict " +
    "json_object_agg_strict jsonb_object_agg_strict json_object_agg_unique jsonb_object_agg_unique range_agg range_intersect_agg " +
    "stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop covar_samp regr_avgx regr_avgy regr_count " +
    "regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy " +
    "mode percentile_cont percentile_disc rank dense_rank percent_rank cume_dist"
  ).split(" "),
);

export const windowFunctions: ReadonlySet<string> = new Set(
  "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value".split(" "),
);

/** Functions that stand in FROM, with the names of their columns; null for one column that has the name of its alias. */
export const rowsFunctions: Readonly<Record<string, readonly string[] | null>> = {
  unnest: null,
  generate_series: null,
  generate_subscripts: null,
  regexp_matches: null,
  regexp_split_to_table: null,
  string_to_table: null,
  json_array_elements: ["value"],
  jsonb_array_elements: ["value"],
  json_array_elements_text: ["value"],
  jsonb_array_elements_text: ["value"],
  json_each: ["key", "value"],
  jsonb_each: ["key", "value"],
  json_each_text: ["key", "value"],
  jsonb_each_text: ["key", "value"],
  json_object_keys: null,
  jsonb_object_keys: null,
  jsonb_path_query: null,
};

/** Functions of FROM whose columns are given by a list after the alias. */
export const recordFunctions: ReadonlySet<string> = new Set(
  "json_to_record jsonb_to_record json_to_recordset jsonb_to_recordset".split(" "),
);

/** Those of which one call yields each value of its first column once. */
export const distinctRows: ReadonlySet<string> = new Set([
  "generate_series",
  "generate_subscripts",
  "jsonb_each",
  "jsonb_each_text",
  "jsonb_object_keys",
]);

/** Of the SELECT itself; subqueries are their own. */
export function holdsAggregate(value: unknown): boolean {
  if (typeof value !== "object" || value === null || "SubLink" in value) return false;
  if (Array.isArray(value)) return value.some(holdsAggregate);
  if ("FuncCall" in value) {
    const call = value.FuncCall as Parameters<typeof functionName>[0];
    if (call.over !== undefined || aggregates.has(functionName(call))) return true;
  }
  return Object.values(value).some(holdsAggregate);
}

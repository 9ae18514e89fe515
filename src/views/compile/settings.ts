/** Settings under which a view's statements mean the same each time, and a small delta drives its joins. */

/** Must hold on every connection that fills or applies: a retraction computes what the insertion did. Part of the hash. */
export const pinnedSettings: Readonly<Record<string, string>> = {
  TimeZone: "UTC",
  DateStyle: "ISO, MDY",
  IntervalStyle: "postgres",
  search_path: "pg_catalog",
  bytea_output: "hex",
  extra_float_digits: "1",
  lc_numeric: "C",
  lc_monetary: "C",
  lc_time: "C",
  standard_conforming_strings: "on",
  backslash_quote: "safe_encoding",
  transform_null_equals: "off",
  array_nulls: "on",
  xmloption: "content",
  default_text_search_config: "pg_catalog.simple",
};

/** For the connection that applies batches: joins go as they are printed, from the delta through indexes. Speed only. */
export const plannerSettings: Readonly<Record<string, string>> = {
  join_collapse_limit: "1",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
};

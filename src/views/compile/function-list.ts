/**
 * The functions that a view may call. A function is here when it gives the same answer for the same arguments and
 * pinned settings (`store/session.ts`), for all its argument types: a retraction must compute what the insertion did.
 */
import { isNumber, isText, type SqlType, type, unknownType } from "./sql-type.ts";

export interface ListedFunction {
  /** True when the answer is NULL only for a NULL argument. */
  readonly strictScalar: boolean;
  readonly type: (args: readonly SqlType[]) => SqlType;
}

const fixed = (name: string) => () => type(name);
const first = (args: readonly SqlType[]) => {
  const one = args[0] ?? unknownType;
  return one.name === "literal" ? unknownType : { ...one, modifier: null };
};
/** Bytes and bits stay what they are; a range's bounds are not known here. */
const textType = (args: readonly SqlType[]) => {
  const one = args[0] ?? unknownType;
  if (/^(bytea|bit|varbit)$/.test(one.name)) return type(one.name);
  return isText(one) || one.name === "literal" ? type("text") : unknownType;
};
/** As `round(numeric)` against `round(double precision)`: integers go to the second. */
const roundingType = (args: readonly SqlType[]) => {
  const one = args[0] ?? unknownType;
  if (args.length > 1 && isNumber(one)) return { ...type("numeric"), specials: one.specials };
  if (one.name === "numeric") return { ...type("numeric"), specials: one.specials };
  return isNumber(one) ? type("float8") : unknownType;
};
const mathType = (args: readonly SqlType[]) => {
  if (args.some((one) => one.name === "numeric") && args.every((one) => isNumber(one) && !/^float/.test(one.name))) {
    return type("numeric");
  }
  return args.every(isNumber) ? type("float8") : unknownType;
};
const momentOf = (args: readonly SqlType[]) => {
  const one = args[1] ?? unknownType;
  if (one.name === "date") return type("timestamptz");
  return one.name === "interval" || /^timestamp/.test(one.name) ? type(one.name) : unknownType;
};

const listed: Record<string, ListedFunction> = {};

function list(names: string, result: ListedFunction["type"], options: Partial<ListedFunction> = {}): void {
  for (const name of names.split(" ")) {
    listed[name] = { strictScalar: false, ...options, type: result };
  }
}

const strict = { strictScalar: true };

// text
list("lower upper initcap replace translate repeat lpad rpad left right split_part quote_ident", textType, strict);
list(
  "btrim ltrim rtrim reverse normalize unistr regexp_replace similar_to_escape like_escape substr",
  textType,
  strict,
);
list("regexp_substr substring overlay", textType);
list("md5 chr to_hex encode", fixed("text"), strict);
list("quote_literal", fixed("text"), strict);
list("length", (args) => (/^(lseg|path)$/.test(args[0]?.name ?? "") ? type("float8") : type("int4")), strict);
list("char_length character_length octet_length bit_length ascii strpos position", fixed("int4"), strict);
list("regexp_count regexp_instr", fixed("int4"), strict);
list("starts_with regexp_like texticlike textlike", fixed("bool"), strict);
list("string_to_array regexp_match regexp_split_to_array", () => ({ ...type("text"), array: true }));
list("concat concat_ws format to_char", fixed("text"));
list("decode sha224 sha256 sha384 sha512", fixed("bytea"), strict);
list("convert_to", fixed("bytea"), strict);
list("convert_from", fixed("text"), strict);
list("hashtext", fixed("int4"), strict);
list("hashtextextended", fixed("int8"), strict);

// numbers
list("abs", first, strict);
list("mod gcd lcm", first, strict);
list("sign", (args) => (args[0]?.name === "numeric" ? type("numeric") : type("float8")), strict);
list("round trunc ceil ceiling floor", roundingType, strict);
list("sqrt exp ln log power pow", mathType, strict);
list("cbrt sin cos tan asin acos atan atan2 sinh cosh tanh degrees radians pi", fixed("float8"), strict);
list("div trim_scale factorial", fixed("numeric"), strict);
list("scale min_scale width_bucket num_nulls num_nonnulls", fixed("int4"));
list("to_number", fixed("numeric"));

// moments
list("date_trunc", momentOf);
list("date_bin", momentOf, strict);
list("date_part", fixed("float8"));
list("extract", fixed("numeric"));
list("timezone", (args) => {
  const one = args[1] ?? unknownType;
  if (one.name === "timestamptz") return type("timestamp");
  return one.name === "timestamp" ? type("timestamptz") : unknownType;
});
list("make_date", fixed("date"), strict);
list("make_time", fixed("time"), strict);
list("make_timestamp", fixed("timestamp"), strict);
list("make_timestamptz", fixed("timestamptz"));
list("make_interval justify_days justify_hours justify_interval", fixed("interval"), strict);
list("to_timestamp", fixed("timestamptz"));
list("to_date", fixed("date"));
list("isfinite", fixed("bool"), strict);
list("overlaps", fixed("bool"));

// arrays
list("cardinality array_length array_upper array_lower array_ndims array_position", fixed("int4"));
list("array_append array_cat array_remove array_replace trim_array array_reverse", first);
list("array_to_string", fixed("text"));

// JSON
list("jsonb_typeof json_typeof jsonb_extract_path_text json_extract_path_text jsonb_pretty", fixed("text"));
list("jsonb_array_length json_array_length", fixed("int4"));
list("jsonb_extract_path jsonb_set jsonb_insert jsonb_strip_nulls jsonb_path_query_first", fixed("jsonb"));
list("json_extract_path json_strip_nulls", fixed("json"));
list("jsonb_build_object jsonb_build_array to_jsonb jsonb_object", fixed("jsonb"));
list("json_build_object json_build_array to_json row_to_json array_to_json json_object", fixed("json"));
list("jsonb_exists jsonb_exists_any jsonb_exists_all jsonb_contains jsonb_path_exists jsonb_path_match", fixed("bool"));

// other
list("int4range int8range numrange daterange tsrange tstzrange lower_inc upper_inc isempty", unknownResult);
list("host abbrev network netmask broadcast", unknownResult);
list("masklen family", fixed("int4"), strict);
list("uuid_extract_version", fixed("int2"));
list("uuid_extract_timestamp", fixed("timestamptz"));

function unknownResult(): SqlType {
  return unknownType;
}

/** Null when the function is not listed. */
export function findFunction(name: string): ListedFunction | null {
  return Object.hasOwn(listed, name) ? (listed[name] ?? null) : null;
}

export function listedFunctionNames(): string[] {
  return Object.keys(listed).sort();
}

/** Where the clock may be asked. */
export const clockHint =
  "Rows can be filtered by time: compare a column by <, <=, > or >= with now(), plus or minus a constant interval, as a condition of WHERE or of an inner join's ON.";

const volatileHint = "It changes without a change of the data; store the value in the source's table instead.";

/** Why a function that is not listed is refused, for those that people reach for. */
export const refusedFunctions: Readonly<Record<string, string>> = {
  now: clockHint,
  clock_timestamp: volatileHint,
  statement_timestamp: clockHint,
  transaction_timestamp: clockHint,
  timeofday: volatileHint,
  random: volatileHint,
  random_normal: volatileHint,
  gen_random_uuid: volatileHint,
  uuidv4: volatileHint,
  uuidv7: volatileHint,
  nextval: volatileHint,
  currval: volatileHint,
  setseed: volatileHint,
  txid_current: volatileHint,
  pg_sleep: volatileHint,
  current_setting: volatileHint,
  set_config: volatileHint,
  age: "With one argument it depends on today; write the difference of two columns.",
};

/** Aggregates of PostgreSQL that are not kept up to date yet, and what to do instead. */
export const refusedAggregates: Readonly<Record<string, string>> = Object.fromEntries(
  [
    ["min max", "Keep the rows as a linear view and ask for the extreme when reading (order, limit 1)."],
    ["bool_and every", "Write count(*) filter (where not …) = 0."],
    ["bool_or", "Write count(*) filter (where …) > 0."],
    [
      "stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy",
      "Keep count(*), sum(x) and sum(x * x) over numeric in the view and compute it when reading.",
    ],
    [
      "array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg xmlagg range_agg",
      "Keep the rows as a linear view and gather them when reading.",
    ],
    [
      "bit_and bit_or bit_xor any_value mode percentile_cont percentile_disc rank dense_rank percent_rank cume_dist range_intersect_agg",
      "Only count, sum and avg are kept up to date.",
    ],
    ["row_number ntile lag lead first_value last_value nth_value", "Window functions are not kept up to date yet."],
  ].flatMap(([names, hint]) => (names ?? "").split(" ").map((name): [string, string] => [name, hint ?? ""])),
);

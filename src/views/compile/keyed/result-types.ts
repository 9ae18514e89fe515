/** What aggregates and window functions yield, as far as it is known here. */
import { isInteger, isNumber, type SqlType, type, unknownType } from "../sql-type.ts";

const fixed: Readonly<Record<string, string>> = {
  count: "int8",
  row_number: "int8",
  rank: "int8",
  dense_rank: "int8",
  ntile: "int4",
  percent_rank: "float8",
  cume_dist: "float8",
  bool_and: "bool",
  bool_or: "bool",
  every: "bool",
  regr_count: "int8",
  json_agg: "json",
  json_agg_strict: "json",
  json_object_agg: "json",
  jsonb_agg: "jsonb",
  jsonb_agg_strict: "jsonb",
  jsonb_object_agg: "jsonb",
};

/** Their value is one of those that they are given. */
const chosen = new Set("min max any_value bit_and bit_or bit_xor first_value last_value nth_value lag lead".split(" "));
/** The same of what WITHIN GROUP orders. */
const chosenInOrder = new Set(["mode", "percentile_disc"]);
const spreads = new Set("stddev stddev_pop stddev_samp variance var_pop var_samp".split(" "));

/** `args` are the types of the arguments, `ordered` is that of the first expression of WITHIN GROUP. */
export function resultType(name: string, args: readonly SqlType[], ordered: SqlType | undefined): SqlType {
  const known = fixed[name];
  if (known !== undefined) return type(known);
  if (chosenInOrder.has(name) && args.every((one) => !one.array)) return plain(ordered);
  const [of, ...others] = args;
  if (of === undefined || of.name === "?" || of.name === "literal") return unknownType;
  // A third argument of LAG and LEAD may widen it.
  if (chosen.has(name)) return others.length > 1 ? unknownType : plain(of);
  if (name === "string_agg") return of.name === "bytea" || of.name === "text" ? type(of.name) : unknownType;
  if (name === "array_agg") return of.array ? plain(of) : { ...type(of.name), array: true, specials: "none" };
  if (name === "sum") return sumType(of);
  if (name === "avg" || spreads.has(name)) {
    if (of.name === "interval" && name === "avg") return type("interval");
    if (!isNumber(of)) return unknownType;
    return type(isInteger(of) || of.name === "numeric" ? "numeric" : "float8");
  }
  return unknownType;
}

function sumType(of: SqlType): SqlType {
  if (of.array) return unknownType;
  if (of.name === "int2" || of.name === "int4") return type("int8");
  if (of.name === "int8" || of.name === "numeric") return { ...type("numeric"), specials: of.specials };
  return of.name === "float4" || of.name === "float8" || of.name === "interval" ? type(of.name) : unknownType;
}

/** Without what only a column's own type says: its length, and that of `varchar`, which is text here. */
function plain(of: SqlType | undefined): SqlType {
  if (of === undefined || of.name === "?" || of.name === "literal") return unknownType;
  if (of.name === "varchar" && !of.array) return type("text");
  return { ...of, modifier: null };
}

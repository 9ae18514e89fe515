/**
 * What the compiler knows of SQL types: names, which are numbers, what an operation yields. It is used to decide and
 * never to define a column: columns of the store get their types from PostgreSQL itself.
 */

export interface SqlType {
  /** PostgreSQL's short name (`int4`, `timestamptz`); `literal` for a quoted constant or NULL without a cast; `?` when not known. */
  readonly name: string;
  /** `12,2` of `numeric(12,2)`. */
  readonly modifier: string | null;
  readonly array: boolean;
  /** For numeric: which values may occur that have no digits. */
  readonly specials: "none" | "nan" | "all";
}

export const unknownType: SqlType = type("?");
export const literalType: SqlType = type("literal");

export function type(name: string, modifier: string | null = null, specials?: SqlType["specials"]): SqlType {
  const byName = name === "numeric" ? (modifier === null ? "all" : "nan") : "none";
  return { name, modifier, array: false, specials: specials ?? byName };
}

const shortNames: Readonly<Record<string, string>> = {
  smallint: "int2",
  integer: "int4",
  int: "int4",
  bigint: "int8",
  decimal: "numeric",
  real: "float4",
  "double precision": "float8",
  float: "float8",
  "character varying": "varchar",
  character: "bpchar",
  char: "bpchar",
  boolean: "bool",
  "time without time zone": "time",
  "time with time zone": "timetz",
  "timestamp without time zone": "timestamp",
  "timestamp with time zone": "timestamptz",
  "bit varying": "varbit",
};

/** From the text of a type as `format_type` prints it. */
export function parseType(text: string): SqlType {
  const array = text.endsWith("[]");
  const [, before = "", inside, after = ""] = /^([^(]*)(?:\(([^)]*)\))?(.*)$/.exec(text.replace(/(\[\])+$/, "")) ?? [];
  const spelled = `${before.trim()} ${after.trim()}`.trim();
  const modifier = inside?.replaceAll(" ", "") ?? null;
  const base = type(shortNames[spelled] ?? spelled, modifier);
  return array ? { ...base, array, modifier: null, specials: "none" } : base;
}

const numberRanks = ["int2", "int4", "int8", "numeric", "float4", "float8"];
const timeRanks = ["date", "timestamp", "timestamptz"];

export function isInteger(one: SqlType): boolean {
  return !one.array && (one.name === "int2" || one.name === "int4" || one.name === "int8");
}

export function isNumber(one: SqlType): boolean {
  return !one.array && numberRanks.includes(one.name);
}

export function isText(one: SqlType): boolean {
  return !one.array && (one.name === "text" || one.name === "varchar" || one.name === "bpchar");
}

export function isMoment(one: SqlType): boolean {
  return !one.array && timeRanks.includes(one.name);
}

export function sameType(a: SqlType, b: SqlType): boolean {
  return a.name === b.name && a.array === b.array && a.name !== "?";
}

/** Whether an index over a column of type `a` serves a comparison with a `b`. */
export function indexComparable(a: SqlType, b: SqlType): boolean {
  if (sameType(a, b) || b.name === "literal") return true;
  if (a.array || b.array) return false;
  if (isInteger(a) && isInteger(b)) return true;
  // A number converts to the column's type only when the column is the wider one.
  if (isNumber(a) && isNumber(b)) return numberRanks.indexOf(a.name) > numberRanks.indexOf(b.name);
  if (isMoment(a) && isMoment(b)) return true;
  return isText(a) && isText(b) && a.name !== "bpchar" && b.name !== "bpchar";
}

/** The type that CASE, COALESCE, UNION and IN settle on, by PostgreSQL's rules for the types known here. */
export function commonType(types: readonly SqlType[]): SqlType {
  const typed = types.filter((one) => one.name !== "literal");
  const first = typed[0];
  if (first === undefined) return type("text");
  const specials = typed.reduce((worst, one) => worstSpecials(worst, one.specials), first.specials);
  if (typed.every((one) => sameType(one, first))) {
    const modifier = typed.every((one) => one.modifier === first.modifier) ? first.modifier : null;
    return { ...first, modifier, specials };
  }
  if (typed.every(isNumber)) return { ...type(widest(typed, numberRanks)), specials };
  if (typed.every(isMoment)) return type(widest(typed, timeRanks));
  if (typed.every((one) => isText(one) && one.name !== "bpchar")) return type(first.name);
  return unknownType;
}

function widest(types: readonly SqlType[], ranks: readonly string[]): string {
  return ranks[Math.max(...types.map((one) => ranks.indexOf(one.name)))] ?? "?";
}

export function worstSpecials(a: SqlType["specials"], b: SqlType["specials"]): SqlType["specials"] {
  if (a === "all" || b === "all") return "all";
  return a === "nan" || b === "nan" ? "nan" : "none";
}

const comparisons = new Set(["=", "<>", "<", ">", "<=", ">="]);
const textMatches = new Set(["~", "~*", "!~", "!~*", "~~", "!~~", "~~*", "!~~*", "^@"]);
const containments = new Set(["@>", "<@", "&&", "?", "?|", "?&", "@?", "@@"]);
const jsonSteps: Readonly<Record<string, string | null>> = { "->": null, "#>": null, "->>": "text", "#>>": "text" };

export const knownOperators: ReadonlySet<string> = new Set([
  ...comparisons,
  ...textMatches,
  ...containments,
  ...Object.keys(jsonSteps),
  ..."+ - * / % ^ || & | # << >> ~ @ |/ ||/ #-".split(" "),
]);

/** Operators that give NULL only for a NULL operand. */
export function isStrictScalar(operator: string): boolean {
  return comparisons.has(operator) || textMatches.has(operator) || "+-*/%^".includes(operator);
}

/** What `left operator right` yields; `left` is null for a prefix operator. */
export function operatorType(operator: string, left: SqlType | null, right: SqlType): SqlType {
  if (comparisons.has(operator) || containments.has(operator)) return type("bool");
  if (left !== null && textMatches.has(operator)) return type("bool");
  if (left === null) return prefixType(operator, right);
  const step = jsonSteps[operator];
  if (step !== undefined) return step === null ? left : type(step);
  if (operator === "||") return concatType(left, right);
  if (isNumber(left) || isNumber(right)) {
    const number = numberType(operator, left, right);
    if (number !== null) return number;
  }
  return momentType(operator, left, right);
}

function prefixType(operator: string, right: SqlType): SqlType {
  if (operator === "|/" || operator === "||/") return type("float8");
  if (!isNumber(right)) return right.name === "interval" ? right : unknownType;
  return { ...right, modifier: null };
}

function concatType(left: SqlType, right: SqlType): SqlType {
  if (left.array || right.array) return left.array ? left : right;
  for (const one of [left, right]) if (one.name === "jsonb" || one.name === "bytea") return type(one.name);
  return isText(left) || isText(right) ? type("text") : unknownType;
}

function numberType(operator: string, left: SqlType, right: SqlType): SqlType | null {
  const typed = [left, right].filter((one) => one.name !== "literal");
  if (!typed.every(isNumber)) return null;
  const common = commonType(typed);
  if (["&", "|", "#", "<<", ">>"].includes(operator))
    return isInteger(left) ? { ...left, modifier: null } : unknownType;
  if (operator === "^") return common.name === "numeric" ? type("numeric") : type("float8");
  if (!["+", "-", "*", "/", "%"].includes(operator)) return null;
  if (typed.some((one) => one.name === "float4") && typed.some((one) => one.name !== "float4")) return type("float8");
  // Without infinities in, no infinity comes out: an overflow is an error.
  return { ...common, modifier: null };
}

function momentType(operator: string, left: SqlType, right: SqlType): SqlType {
  const pair = `${left.name}${operator}${right.name}`;
  const known: Readonly<Record<string, string>> = {
    "date-date": "int4",
    "date+time": "timestamp",
    "date+interval": "timestamp",
    "date-interval": "timestamp",
    "interval+date": "timestamp",
    "timestamp-timestamp": "interval",
    "timestamptz-timestamptz": "interval",
    "time-time": "interval",
    "interval+interval": "interval",
    "interval-interval": "interval",
  };
  if (left.array || right.array) return unknownType;
  const found = known[pair];
  if (found !== undefined) return type(found);
  if (left.name === "date" && isInteger(right) && (operator === "+" || operator === "-")) return left;
  if (right.name === "date" && isInteger(left) && operator === "+") return right;
  if (right.name === "interval" && /^time/.test(left.name) && (operator === "+" || operator === "-")) return left;
  if (left.name === "interval" && /^time/.test(right.name) && operator === "+") return right;
  if (left.name === "interval" && isNumber(right) && (operator === "*" || operator === "/")) return left;
  if (right.name === "interval" && isNumber(left) && operator === "*") return right;
  return unknownType;
}

const oneSpelling = new Set(
  "int2 int4 int8 text varchar bpchar bool date time timestamp timestamptz uuid bytea".split(" "),
);

/** True when equal values always have the same text, and the type can be grouped. */
export function hasOneSpelling(one: SqlType): boolean {
  if (one.array) return false;
  return oneSpelling.has(one.name) || (one.name === "numeric" && one.modifier !== null);
}

const withoutEquality = new Set(
  "json xml point line lseg box path polygon circle txid_snapshot pg_snapshot jsonpath".split(" "),
);

/** False for types that PostgreSQL cannot group. */
export function hasEquality(one: SqlType): boolean {
  return !withoutEquality.has(one.name);
}

/**
 * Binds an expression of PostgreSQL's parse tree: resolves its columns, refuses what may change by itself, and prints
 * it in full parentheses. A node that is not known is refused, never passed through.
 */
import type { A_Const, A_Expr, CaseExpr, FuncCall, Node, TypeCast, TypeName } from "@pgsql/types";
import { type Bound, compose, isConstant, listed, textBound } from "./bound.ts";
import { clockHint, findFunction, refusedAggregates, refusedFunctions } from "./function-list.ts";
import { nearestName } from "./nearest.ts";
import { windowFunctions } from "./refusals.ts";
import { findColumn, type Scope } from "./scope.ts";
import type { SourceText } from "./source-text.ts";
import {
  commonType,
  isInteger,
  isNumber,
  isStrictScalar,
  knownOperators,
  literalType,
  operatorType,
  parseType,
  type SqlType,
  type,
  unknownType,
  worstSpecials,
} from "./sql-type.ts";

const depthMax = 300;

export interface ExpressionPlace {
  readonly source: SourceText;
  readonly scope: Scope;
  /** Called for a column reference that the rewritten query must spell with its table only. */
  readonly onColumn?: (names: readonly string[], at: number) => void;
  /** Looks at each node first: aggregates and group expressions above a grouping. */
  readonly intercept?: (node: Node, depth: number) => Bound | null;
}

export function bindExpression(node: Node | undefined, place: ExpressionPlace, depth = 0): Bound {
  if (node === undefined) throw place.source.refusal("VIEW_UNSUPPORTED", "an expression is missing");
  if (depth > depthMax) throw place.source.tooDeep();
  return place.intercept?.(node, depth) ?? bindNode(node, place, depth + 1);
}

function bindNode(node: Node, place: ExpressionPlace, depth: number): Bound {
  const bind = (one: Node | undefined) => bindExpression(one, place, depth);
  const bindAll = (nodes: readonly Node[] | undefined) => (nodes ?? []).map(bind);
  if ("ColumnRef" in node) return bindColumn(node.ColumnRef.fields ?? [], node.ColumnRef.location, place);
  if ("A_Const" in node) return bindConstant(node.A_Const, place);
  if ("TypeCast" in node) {
    const { arg } = node.TypeCast;
    const constant = arg !== undefined && "A_Const" in arg ? bindConstant(arg.A_Const, place, node.TypeCast) : null;
    return bindCast(node.TypeCast, constant ?? bind(arg), place);
  }
  if ("A_Expr" in node) return bindOperation(node.A_Expr, place, depth);
  if ("BoolExpr" in node) {
    const args = bindAll(node.BoolExpr.args);
    const made = { type: type("bool"), notNull: args.every((arg) => arg.notNull) };
    if (node.BoolExpr.boolop === "NOT_EXPR") return compose(["(not ", ...args, ")"], made);
    return compose(["(", ...listed(args, node.BoolExpr.boolop === "AND_EXPR" ? " and " : " or "), ")"], made);
  }
  if ("NullTest" in node) {
    const test = node.NullTest.nulltesttype === "IS_NULL" ? "is null" : "is not null";
    return compose(["(", bind(node.NullTest.arg), ` ${test})`], { type: type("bool"), notNull: true });
  }
  if ("BooleanTest" in node) {
    const test = (node.BooleanTest.booltesttype ?? "IS_TRUE").toLowerCase().replaceAll("_", " ");
    return compose(["(", bind(node.BooleanTest.arg), ` ${test})`], { type: type("bool"), notNull: true });
  }
  if ("CaseExpr" in node) return bindCase(node.CaseExpr, bind);
  if ("CoalesceExpr" in node) {
    const args = bindAll(node.CoalesceExpr.args);
    const made = { type: resultType(args), notNull: args.some((arg) => arg.notNull) };
    return compose(["coalesce(", ...listed(args), ")"], made);
  }
  if ("MinMaxExpr" in node) {
    const args = bindAll(node.MinMaxExpr.args);
    const made = { type: resultType(args), notNull: args.some((arg) => arg.notNull) };
    return compose([node.MinMaxExpr.op === "IS_GREATEST" ? "greatest(" : "least(", ...listed(args), ")"], made);
  }
  if ("FuncCall" in node) return bindFunction(node.FuncCall, bindAll(node.FuncCall.args), place);
  if ("A_ArrayExpr" in node) {
    const elements = bindAll(node.A_ArrayExpr.elements);
    const element = resultType(elements);
    return compose(["array[", ...listed(elements), "]"], {
      type: element.array ? unknownType : { ...element, array: true, modifier: null },
      notNull: true,
    });
  }
  if ("A_Indirection" in node) return bindSubscripts(node.A_Indirection, place, bind);
  if ("CollateClause" in node) {
    const name = (node.CollateClause.collname ?? []).map(nameOf).at(-1) ?? "";
    if (!["C", "POSIX", "ucs_basic", "pg_c_utf8"].includes(name)) {
      throw refuse(
        place,
        `collation "${name}" is not used here`,
        node.CollateClause.location,
        'Text is ordered by code point: leave COLLATE out, or use "C".',
      );
    }
    const arg = bind(node.CollateClause.arg);
    return compose(["(", arg, ` collate "${name}")`], { type: arg.type, notNull: arg.notNull });
  }
  throw refuseNode(node, place);
}

export function nameOf(node: Node): string {
  return "String" in node ? (node.String.sval ?? "") : "*";
}

function bindColumn(fields: readonly Node[], at: number | undefined, place: ExpressionPlace): Bound {
  const names = fields.map(nameOf);
  if (fields.some((field) => !("String" in field)))
    throw refuse(place, `"*" cannot stand here`, at, "Name the columns.");
  const column = findColumn(place.scope, names, place.source, at);
  if (names.length > 2 && at !== undefined) place.onColumn?.(names, at);
  return column.bound;
}

/** PostgreSQL reads these words as the moment of planning when they meet a date, a time, or a range or array of them. */
const movingWord = /\b(now|today|tomorrow|yesterday)\b/i;
const movingText = /^[\s[({"]*(now|today|tomorrow|yesterday)\b/i;

function bindConstant(constant: A_Const, place: ExpressionPlace, cast?: TypeCast): Bound {
  if (constant.isnull === true) return textBound("null", literalType, false);
  if (constant.ival !== undefined) return textBound(signed(String(constant.ival.ival ?? 0)), type("int4"), true);
  if (constant.boolval !== undefined)
    return textBound(constant.boolval.boolval === true ? "true" : "false", type("bool"), true);
  if (constant.fval !== undefined) {
    const text = constant.fval.fval ?? "0";
    const whole = /^-?\d+$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
    return textBound(signed(text), whole ? type("int8") : type("numeric", null, "none"), true);
  }
  if (constant.sval !== undefined) {
    const text = constant.sval.sval ?? "";
    const moves =
      cast === undefined
        ? movingText.test(text)
        : isTemporal(readTypeName(cast.typeName, place).type) && movingWord.test(text);
    if (moves) {
      throw refuse(
        place,
        `'${text}' can mean a moment that moves`,
        constant.location,
        `If the word itself is meant, write '${text}'::text.`,
      );
    }
    return textBound(quoteLiteral(text), literalType, true);
  }
  throw refuse(
    place,
    "a bit string is not read here",
    constant.location,
    "Write the number, or a quoted text with a cast.",
  );
}

function signed(digits: string): string {
  return digits.startsWith("-") ? `(${digits})` : digits;
}

export function quoteLiteral(text: string): string {
  return text.includes("\\")
    ? `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`
    : `'${text.replaceAll("'", "''")}'`;
}

export const castableTypes: ReadonlySet<string> = new Set(
  (
    "bool int2 int4 int8 numeric float4 float8 text varchar bpchar uuid bytea json jsonb date time timetz timestamp timestamptz " +
    "interval inet cidr macaddr macaddr8 bit varbit tsvector tsquery int4range int8range numrange daterange tsrange tstzrange"
  ).split(" "),
);

function bindCast(cast: TypeCast, arg: Bound, place: ExpressionPlace): Bound {
  const { text, type: to } = readTypeName(cast.typeName, place);
  const from = arg.type;
  if (isTemporal(to) && from.name !== "literal" && !isTemporal(from)) {
    throw refuse(
      place,
      `a text that is read as ${to.name} could be the word "now"`,
      cast.location ?? cast.typeName?.location,
      "Use to_timestamp(text, format) or to_date(text, format).",
    );
  }
  return compose(["(", arg, `::${text})`], {
    type: castSpecials(to, from, arg),
    notNull: arg.notNull && !/^jsonb?$/.test(from.name),
  });
}

/** Types that PostgreSQL reads the word `now` into. */
function isTemporal(one: SqlType): boolean {
  return /^(date|time|timetz|timestamp|timestamptz|daterange|tsrange|tstzrange)$/.test(one.name);
}

function castSpecials(to: SqlType, from: SqlType, arg: Bound): SqlType {
  if (to.name !== "numeric" || to.array) return to;
  if (isInteger(from)) return { ...to, specials: "none" };
  if (from.name === "numeric")
    return {
      ...to,
      specials: to.modifier === null ? from.specials : worstSpecials(from.specials === "none" ? "none" : "nan", "none"),
    };
  if (from.name === "literal" && isConstant(arg))
    return { ...to, specials: /[a-z]/i.test(arg.parts.join("")) ? "all" : "none" };
  return to;
}

export function readTypeName(typeName: TypeName | undefined, place: ExpressionPlace): { text: string; type: SqlType } {
  const names = (typeName?.names ?? []).map(nameOf);
  const name = names.at(-1) ?? "";
  const known = castableTypes.has(name) && (names.length === 1 || names[0] === "pg_catalog");
  if (!known || typeName?.setof === true || typeName?.pct_type === true) {
    const nearest = nearestName(name, castableTypes);
    throw refuse(
      place,
      `a cast to "${names.join(".")}" is not known here`,
      typeName?.location,
      name === "ltree"
        ? 'A path is text here: leave the cast out, and the option tree of view(…) makes a tree of the column: { tree: "path" }.'
        : nearest === null
          ? "Enums and types of the source are text in the store: cast to text, or leave the cast out."
          : `Did you mean ${nearest}?`,
    );
  }
  const modifiers = (typeName?.typmods ?? []).map((one) =>
    "A_Const" in one ? String(one.A_Const.ival?.ival ?? 0) : "",
  );
  if (modifiers.includes("") || (name === "interval" && modifiers.length > 0)) {
    throw refuse(
      place,
      `the form of type ${name} is not read here`,
      typeName?.location,
      "Leave the part in brackets out.",
    );
  }
  const modifier = modifiers.length === 0 ? null : modifiers.join(",");
  const array = (typeName?.arrayBounds ?? []).length > 0;
  const text = `pg_catalog.${name}${modifier === null ? "" : `(${modifier})`}${array ? "[]" : ""}`;
  const short = parseType(`${name}${modifier === null ? "" : `(${modifier})`}`);
  return { text, type: array ? { ...short, array, modifier: null } : short };
}

function bindOperation(operation: A_Expr, place: ExpressionPlace, depth: number): Bound {
  const bind = (one: Node | undefined) => bindExpression(one, place, depth);
  const operator = operatorName(operation, place);
  const kind = operation.kind ?? "AEXPR_OP";
  const { lexpr, rexpr } = operation;
  const boolean = { type: type("bool"), notNull: false };
  const items = () => (rexpr !== undefined && "List" in rexpr ? (rexpr.List.items ?? []).map(bind) : [bind(rexpr)]);
  if (kind === "AEXPR_IN") {
    const [left, list] = [bind(lexpr), items()];
    const notNull = left.notNull && list.every((one) => one.notNull);
    return compose(["(", left, operator === "=" ? " in (" : " not in (", ...listed(list), "))"], {
      ...boolean,
      notNull,
    });
  }
  if (/^AEXPR_(NOT_)?BETWEEN(_SYM)?$/.test(kind)) {
    const [left, [low, high]] = [bind(lexpr), items()];
    if (low === undefined || high === undefined) throw refuseNode({ A_Expr: operation }, place);
    const words = operator.toLowerCase();
    const notNull = left.notNull && low.notNull && high.notNull;
    return compose(["(", left, ` ${words} `, low, " and ", high, ")"], { ...boolean, notNull });
  }
  if (kind === "AEXPR_DISTINCT" || kind === "AEXPR_NOT_DISTINCT") {
    const words = kind === "AEXPR_DISTINCT" ? " is distinct from " : " is not distinct from ";
    return compose(["(", bind(lexpr), words, bind(rexpr), ")"], { ...boolean, notNull: true });
  }
  if (kind === "AEXPR_NULLIF") {
    const left = bind(lexpr);
    return compose(["nullif(", left, ", ", bind(rexpr), ")"], {
      type: left.type.name === "literal" ? type("text") : left.type,
    });
  }
  if (!knownOperators.has(operator)) {
    throw refuse(
      place,
      `the operator ${operator} is not known here`,
      operation.location,
      "Use one of PostgreSQL's own operators on common types.",
    );
  }
  if (kind === "AEXPR_OP_ANY" || kind === "AEXPR_OP_ALL") {
    const word = kind === "AEXPR_OP_ANY" ? "any" : "all";
    return compose(["(", bind(lexpr), ` ${operator} ${word} (`, bind(rexpr), "))"], boolean);
  }
  if (!["AEXPR_OP", "AEXPR_LIKE", "AEXPR_ILIKE", "AEXPR_SIMILAR"].includes(kind))
    throw refuseNode({ A_Expr: operation }, place);
  const right = bind(rexpr);
  if (lexpr === undefined) {
    return compose([`(${operator} `, right, ")"], {
      type: operatorType(operator, null, right.type),
      notNull: right.notNull && isNumber(right.type),
    });
  }
  const left = bind(lexpr);
  return compose(["(", left, ` ${operator} `, right, ")"], {
    type: operatorType(operator, left.type, right.type),
    notNull: left.notNull && right.notNull && isStrictScalar(operator),
  });
}

/** PostgreSQL's own operators are written with their schema, or without one. */
export function operatorName(operation: A_Expr, place: { readonly source: SourceText }): string {
  const names = (operation.name ?? []).map(nameOf);
  if (names.length > 1 && names[0] !== "pg_catalog") {
    throw refuse(
      place,
      `the operator ${names.join(".")} is not known here`,
      operation.location,
      "Use PostgreSQL's own.",
    );
  }
  return names.at(-1) ?? "";
}

function bindCase(node: CaseExpr, bind: (one: Node | undefined) => Bound): Bound {
  const pieces: (string | Bound)[] = ["(case"];
  if (node.arg !== undefined) pieces.push(" ", bind(node.arg));
  const results: Bound[] = [];
  for (const arm of node.args ?? []) {
    if (!("CaseWhen" in arm)) continue;
    const result = bind(arm.CaseWhen.result);
    results.push(result);
    pieces.push(" when ", bind(arm.CaseWhen.expr), " then ", result);
  }
  if (node.defresult !== undefined) {
    const otherwise = bind(node.defresult);
    results.push(otherwise);
    pieces.push(" else ", otherwise);
  }
  pieces.push(" end)");
  return compose(pieces, {
    type: resultType(results),
    notNull: node.defresult !== undefined && results.every((one) => one.notNull),
  });
}

function resultType(bounds: readonly Bound[]): SqlType {
  return commonType(bounds.map((bound) => bound.type));
}

export function functionName(call: FuncCall): string {
  return (call.funcname ?? []).map(nameOf).at(-1) ?? "";
}

function bindFunction(call: FuncCall, args: readonly Bound[], place: ExpressionPlace): Bound {
  const names = (call.funcname ?? []).map(nameOf);
  const name = functionName(call);
  const at = call.location;
  if (call.over !== undefined) {
    throw refuse(place, windowFunctions, at, "Keep the rows as a view and rank them when reading (order, limit).");
  }
  if (["count", "sum", "avg"].includes(name) || Object.hasOwn(refusedAggregates, name))
    throw refuseAggregate(name, place, at);
  const known = names.length === 1 || (names.length === 2 && names[0] === "pg_catalog") ? findFunction(name) : null;
  const plain =
    call.agg_distinct !== true &&
    call.agg_order === undefined &&
    call.agg_star !== true &&
    call.agg_within_group !== true;
  if (known === null || !plain || call.agg_filter !== undefined || call.func_variadic === true) {
    throw refuse(
      place,
      `the function ${names.join(".")} is not known to give the same answer each time`,
      at,
      refusedFunctions[name] ??
        "Functions of PostgreSQL that depend on their arguments alone can be used; the reference of view SQL lists them.",
    );
  }
  if (args.some((arg) => arg.parts.includes("*"))) throw refuseNode({ FuncCall: call }, place);
  return compose([`pg_catalog."${name}"(`, ...listed(args), ")"], {
    type: known.type(args.map((arg) => arg.type)),
    notNull: known.strictScalar && args.every((arg) => arg.notNull),
  });
}

export function refuseAggregate(name: string, place: ExpressionPlace, at: number | undefined) {
  const hint = refusedAggregates[name];
  if (hint !== undefined) return refuse(place, `${name}() cannot be kept up to date yet`, at, hint);
  return refuse(
    place,
    `${name}() cannot stand here`,
    at,
    "Aggregates stand in the select list and in HAVING of the view itself, not in subqueries, WHERE, JOIN or GROUP BY.",
  );
}

function bindSubscripts(
  node: { arg?: Node; indirection?: Node[] },
  place: ExpressionPlace,
  bind: (one: Node | undefined) => Bound,
): Bound {
  const arg = bind(node.arg);
  const pieces: (string | Bound)[] = ["(", arg, ")"];
  let slice = false;
  for (const step of node.indirection ?? []) {
    if (!("A_Indices" in step))
      throw refuse(
        place,
        "fields of composite values are not read here",
        undefined,
        "Store the field in a column of its own.",
      );
    const { is_slice, lidx, uidx } = step.A_Indices;
    slice ||= is_slice === true;
    pieces.push("[");
    if (lidx !== undefined) pieces.push(bind(lidx));
    if (is_slice === true) pieces.push(":");
    if (uidx !== undefined) pieces.push(bind(uidx));
    pieces.push("]");
  }
  const element =
    arg.type.name === "jsonb" ? arg.type : arg.type.array && !slice ? { ...arg.type, array: false } : unknownType;
  return compose(pieces, { type: element });
}

export function refuse(place: { readonly source: SourceText }, message: string, at: number | undefined, hint: string) {
  return place.source.refusal("VIEW_UNSUPPORTED", message, { at, hint });
}

const nodeHints: Readonly<Record<string, readonly [string, string]>> = {
  SubLink: [
    "subqueries in expressions cannot be kept up to date yet",
    "Write it as a join in FROM; for EXISTS and IN join with the table itself where its key is matched.",
  ],
  SQLValueFunction: [
    "the current date, time or user cannot be used in a view",
    `They change without a change of the data. ${clockHint}`,
  ],
  ParamRef: ["a view has no parameters", "Write the constant into the SQL, or filter when reading."],
  RowExpr: ["row values are not read here", "Compare the columns one by one."],
  GroupingFunc: ["grouping sets cannot be kept up to date yet", "Write one view per grouping."],
  SetToDefault: ["DEFAULT has no meaning in a view", "Name the value."],
};

function refuseNode(node: Node, place: ExpressionPlace) {
  const kind = Object.keys(node)[0] ?? "";
  const inner: unknown = Object.values(node)[0];
  const at =
    typeof inner === "object" && inner !== null && "location" in inner && typeof inner.location === "number"
      ? inner.location
      : undefined;
  const [message, hint] = nodeHints[kind] ?? [
    `this form of expression (${kind}) is not known here`,
    "Write it with operators and functions of the reference of view SQL.",
  ];
  return refuse(place, message, at, hint);
}

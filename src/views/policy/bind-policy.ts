/**
 * A policy: the condition of `view(…, { policy })` over the view's columns and the claims of who asks. It is parsed by
 * PostgreSQL's own parser, bound, and printed anew: no part of its text reaches a statement.
 *
 * Always true: it depends on the row and the claims alone. A claim that is absent, or is no value of what it is compared
 * with, is NULL, so that the comparison lets nobody see the row.
 */
import type { A_Expr, FuncCall, Node, SelectStmt } from "@pgsql/types";
import { MillraceError } from "../../base/errors.ts";
import { quote } from "../../catalog/definitions.ts";
import { type Bound, compose, print } from "../compile/bound.ts";
import {
  bindExpression,
  castableTypes,
  type ExpressionPlace,
  functionName,
  nameOf,
  quoteLiteral,
  readTypeName,
} from "../compile/expression.ts";
import { clockHint, refusedFunctions } from "../compile/function-list.ts";
import type { Scope, ScopeColumn } from "../compile/scope.ts";
import { SourceText } from "../compile/source-text.ts";
import { isText, parseType, type SqlType, type, unknownType } from "../compile/sql-type.ts";

/** A claim that a policy asks for: its text, or with `many` the texts of its list. */
export interface ClaimUse {
  readonly name: string;
  readonly many: boolean;
}

export interface BoundPolicy {
  /** A condition over `alias`, true for rows that are shown; `claims` is an expression of type jsonb, made by `claimsJson`. */
  readonly sql: (alias: string, claims: string) => string;
  readonly claims: readonly ClaimUse[];
  /** Columns of which one value or a few are looked for, whatever else must hold. */
  readonly equalities: readonly string[];
}

export interface PolicyColumn {
  readonly name: string;
  /** PostgreSQL's name of it; null while only the store could say. */
  readonly type: string | null;
}

/** `loadParser` must have resolved. Throws `VIEW_POLICY_INVALID`, with a caret where a place in the condition is meant. */
export function bindPolicy(view: string, policy: string, columns: readonly PolicyColumn[]): BoundPolicy {
  try {
    return bind(view, policy, columns);
  } catch (cause) {
    if (!MillraceError.is(cause)) throw cause;
    const start = `view "${view}": `;
    const reason = cause.message.startsWith(start) ? cause.message.slice(start.length) : cause.message;
    throw new MillraceError("VIEW_POLICY_INVALID", `${start}its policy cannot be used: ${reason}`, {
      ...(cause.hint === undefined ? {} : { hint: cause.hint }),
      details: { ...cause.details, option: "policy" },
      cause,
    });
  }
}

function bind(view: string, policy: string, columns: readonly PolicyColumn[]): BoundPolicy {
  const bytes = Buffer.byteLength(policy);
  const source = new SourceText(view, policy, [
    { start: 0, end: 0, text: "select (" },
    // On a line of its own, so that a comment at the end does not reach it.
    { start: bytes, end: bytes, text: "\n)" },
  ]);
  const condition = conditionOf(source);
  const claims = new Map<string, ClaimUse>();
  const scope = scopeOf(view, columns);
  const place: ExpressionPlace = { source, scope, intercept: claimBinder(source, claims, () => place) };
  const bound = bindExpression(condition, place);
  if (bound.type.array || !["bool", unknownType.name].includes(bound.type.name)) {
    throw source.refusal("VIEW_POLICY_INVALID", `it is ${nameOfType(bound.type)}, and no condition`, {
      hint: "Compare a column with a claim: customer_id = claim('sub').",
    });
  }
  return {
    sql: (alias, json) =>
      print(bound, (hole) => (hole.kind === "group" ? `${alias}.${quote(columns[hole.index]?.name ?? "")}` : json)),
    claims: [...claims.values()],
    equalities: equalitiesOf(condition).filter((name) => columns.some((column) => column.name === name)),
  };
}

const expressionHint = "A policy is one condition: customer_id = claim('sub').";

/** Parentheses of its own could end ours: what is left must be one expression and nothing else. */
function conditionOf(source: SourceText): Node {
  const { targetList = [], limitOption: _limit, op: _op, ...rest } = source.statement as SelectStmt;
  const [target, another] = targetList;
  const val = target !== undefined && "ResTarget" in target ? target.ResTarget.val : undefined;
  const isNamed = target !== undefined && "ResTarget" in target && target.ResTarget.name !== undefined;
  const clauses = Object.values(rest).filter((clause) => clause !== undefined && clause !== false);
  if (val !== undefined && another === undefined && !isNamed && clauses.length === 0) return val;
  throw source.refusal("VIEW_POLICY_INVALID", "it is not one condition", { hint: expressionHint });
}

/** Columns are holes by their place. */
function scopeOf(view: string, columns: readonly PolicyColumn[]): Scope {
  const visible = columns.map(({ name, type }, index): ScopeColumn => {
    const bound: Bound = {
      parts: [{ kind: "group", index }],
      key: `#${index}`,
      type: type === null ? unknownType : parseType(type),
      notNull: false,
    };
    return { name, bound, qualifier: view };
  });
  return { tables: [{ alias: view, path: ["views"], columns: visible, label: view, occurrence: null }], visible };
}

type Intercept = NonNullable<ExpressionPlace["intercept"]>;

/** Binds `claim(…)` and `claims(…)` as values of what they are compared with or cast to, and refuses what a policy may not ask. */
function claimBinder(source: SourceText, used: Map<string, ClaimUse>, place: () => ExpressionPlace): Intercept {
  const expected = new Map<FuncCall, SqlType>();
  const bindClaim = (call: FuncCall, as: SqlType): Bound => {
    const use = claimUse(call, source);
    used.set(JSON.stringify(use), use);
    return claimBound(use, as);
  };
  return (node, depth) => {
    if ("FuncCall" in node) {
      const { FuncCall: call } = node;
      if (isClaim(call)) return bindClaim(call, expected.get(call) ?? type("text"));
      const hint = refusedFunctions[functionName(call)];
      if (hint === clockHint) throw clockRefusal(source, call.location);
    }
    if ("SQLValueFunction" in node) throw clockRefusal(source, node.SQLValueFunction.location);
    if ("SubLink" in node) {
      throw source.refusal("VIEW_POLICY_INVALID", "it has a subquery", {
        at: node.SubLink.location,
        hint: "Let the view have the column that is to be compared.",
      });
    }
    if ("TypeCast" in node) {
      const { arg, typeName } = node.TypeCast;
      if (arg !== undefined && "FuncCall" in arg && isClaim(arg.FuncCall)) {
        const { type: to } = readTypeName(typeName, place());
        if (to.array !== (functionName(arg.FuncCall) === "claims")) {
          throw source.refusal("VIEW_POLICY_INVALID", `${functionName(arg.FuncCall)}() is cast to ${nameOfType(to)}`, {
            at: arg.FuncCall.location,
            hint: "claim() is one value, claims() a list: claim('level')::int, any(claims('teams')::int[]).",
          });
        }
        return bindClaim(arg.FuncCall, { ...to, array: false });
      }
    }
    if ("A_Expr" in node) {
      for (const [call, other, how] of compared(node.A_Expr)) {
        if (expected.has(call)) continue;
        const { type: as } = bindExpression(other, place(), depth + 1);
        expected.set(call, typeFrom(as, how));
      }
    }
    return null;
  };
}

function clockRefusal(source: SourceText, at: number | undefined): MillraceError {
  return source.refusal("VIEW_POLICY_INVALID", "it asks the clock or the store who or when it is", {
    at,
    hint: "A policy is about the row and the claims of who asks: a row that is shown for a time leaves the view itself.",
  });
}

function isClaim(call: FuncCall): boolean {
  return (call.funcname ?? []).length === 1 && /^claims?$/.test(functionName(call));
}

function claimUse(call: FuncCall, source: SourceText): ClaimUse {
  const [arg, another] = call.args ?? [];
  const name = arg !== undefined && "A_Const" in arg ? (arg.A_Const.sval?.sval ?? "") : "";
  const many = functionName(call) === "claims";
  if (name !== "" && another === undefined) return { name, many };
  throw source.refusal("VIEW_POLICY_INVALID", `${functionName(call)}() names no claim`, {
    at: call.location,
    hint: many ? "Write any(claims('roles'))." : "Write claim('sub'), or claim('address.country') for a member of one.",
  });
}

type How = "same" | "element" | "list";

const ordered = ["=", "<>", "<", ">", "<=", ">="];
const overlapping = ["&&", "@>", "<@"];

/** Claims that stand in an operation, each with what it is compared with. */
function compared({ kind = "AEXPR_OP", name = [], lexpr, rexpr }: A_Expr): [FuncCall, Node, How][] {
  if (lexpr === undefined || rexpr === undefined) return [];
  const operator = name.map(nameOf).at(-1) ?? "";
  const pairs = (how: How): [FuncCall, Node, How][] => [
    ...("FuncCall" in lexpr && isClaim(lexpr.FuncCall) ? [[lexpr.FuncCall, rexpr, how] as [FuncCall, Node, How]] : []),
    ...("FuncCall" in rexpr && isClaim(rexpr.FuncCall) ? [[rexpr.FuncCall, lexpr, how] as [FuncCall, Node, How]] : []),
  ];
  switch (kind) {
    case "AEXPR_OP":
      return ordered.includes(operator) ? pairs("same") : overlapping.includes(operator) ? pairs("list") : [];
    case "AEXPR_DISTINCT":
    case "AEXPR_NOT_DISTINCT":
      return pairs("same");
    case "AEXPR_OP_ANY":
    case "AEXPR_OP_ALL":
      // Of a claim among a column's elements, and of a column among the claim's.
      return pairs("element");
    case "AEXPR_IN":
    case "AEXPR_BETWEEN":
    case "AEXPR_NOT_BETWEEN": {
      const items = "List" in rexpr ? (rexpr.List.items ?? []) : [];
      const inside = items.flatMap((item): [FuncCall, Node, How][] =>
        "FuncCall" in item && isClaim(item.FuncCall) ? [[item.FuncCall, lexpr, "same"]] : [],
      );
      const [first] = items;
      return "FuncCall" in lexpr && isClaim(lexpr.FuncCall) && first !== undefined
        ? [...inside, [lexpr.FuncCall, first, "same"]]
        : inside;
    }
    default:
      return [];
  }
}

/** The type that the claim, or each of its list, is to have. */
function typeFrom(other: SqlType, how: How): SqlType {
  return other.array && how !== "same" ? { ...other, array: false } : other;
}

/** NULL, or left out of the list, where it is no value of the type. A subquery of its own: it is computed once and not for each row. */
function claimBound({ name, many }: ClaimUse, as: SqlType): Bound {
  const to = !as.array && !isText(as) && castableTypes.has(as.name) ? `pg_catalog.${as.name}` : null;
  const member = quoteLiteral(name);
  const claims: Bound = { parts: [{ kind: "opaque" }], key: "claims", type: type("jsonb"), notNull: false };
  const made = to === null ? type("text") : type(as.name);
  const value = to === null ? "c.v" : `case when pg_catalog.pg_input_is_valid(c.v, '${to}') then c.v::${to} end`;
  if (!many) {
    return compose([`(select ${value} from (select `, claims, ` -> 'one' ->> ${member}) as c(v))`], { type: made });
  }
  const known = to === null ? "" : ` where pg_catalog.pg_input_is_valid(c.v, '${to}')`;
  const list = [
    `(array(select ${value} from pg_catalog.jsonb_array_elements_text(`,
    claims,
    ` -> 'all' -> ${member}) as c(v)${known}))`,
  ];
  return compose(list, { type: { ...made, array: true, modifier: null }, notNull: true });
}

function nameOfType({ name, array }: SqlType): string {
  return `${name === "literal" ? "a constant" : `of type ${name}`}${array ? "[]" : ""}`;
}

/** What must hold, taken apart at its `and`. */
function equalitiesOf(condition: Node): string[] {
  if ("BoolExpr" in condition) {
    const { boolop, args = [] } = condition.BoolExpr;
    return boolop === "AND_EXPR" ? args.flatMap(equalitiesOf) : [];
  }
  if (!("A_Expr" in condition)) return [];
  const { kind, name = [], lexpr, rexpr } = condition.A_Expr;
  if (name.map(nameOf).at(-1) !== "=" || lexpr === undefined || rexpr === undefined) return [];
  const sides: [Node, Node][] =
    kind === "AEXPR_OP"
      ? [
          [lexpr, rexpr],
          [rexpr, lexpr],
        ]
      : kind === "AEXPR_OP_ANY"
        ? [[lexpr, rexpr]]
        : [];
  return sides.flatMap(([column, claim]) => {
    const value = "TypeCast" in claim ? claim.TypeCast.arg : claim;
    const isOfClaim = value !== undefined && "FuncCall" in value && isClaim(value.FuncCall);
    if (!isOfClaim || !("ColumnRef" in column)) return [];
    return (column.ColumnRef.fields ?? []).map(nameOf).slice(-1);
  });
}

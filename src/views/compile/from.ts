/** Pieces of a FROM clause: tables, derived tables, USING, conditions, and what the conditions prove. */
import type { JoinExpr, Node, RangeVar } from "@pgsql/types";
import { quote } from "../../catalog/definitions.ts";
import type { MirrorBinding } from "../compiled-view.ts";
import { type Bound, type Branch, type Conjunct, compose, type Occurrence, plainColumn, printedSize } from "./bound.ts";
import { locationOf } from "./clauses.ts";
import { bindExpression, type ExpressionPlace, nameOf, operatorName, refuse } from "./expression.ts";
import { checkMeet } from "./natural-join.ts";
import { joinScopes, type Scope, type ScopeColumn, type ScopeTable } from "./scope.ts";
import type { SourceText } from "./source-text.ts";
import { commonType, parseType, type SqlType, sameType, type } from "./sql-type.ts";
import { mirrorTable, resolveTable, tableLabel } from "./tables.ts";
import { bindTemporal } from "./temporal.ts";

export const branchesMax = 64;
const tablesMax = 64;

/** Of a subquery's column, which may be written out several times above it. */
export const expressionCharactersMax = 16_384;

/** What binding of one definition shares. */
export interface Binding {
  readonly source: SourceText;
  readonly mirrors: readonly MirrorBinding[];
  /** Pieces of the definition's text that are written otherwise over the mirrors, by byte position. */
  readonly replacements: Map<number, { readonly end: number; readonly text: string }>;
}

/** A FROM clause in one of its branches. */
export interface FromBranch {
  readonly scope: Scope;
  readonly occurrences: readonly Occurrence[];
  readonly conjuncts: readonly Conjunct[];
}

export function tooManyBranches(binding: Binding) {
  return refuse(
    binding,
    `joins over union all make more than ${branchesMax} joins of it`,
    undefined,
    "Join before the union, or split the view.",
  );
}

export function product(left: readonly FromBranch[], right: readonly FromBranch[], binding: Binding): FromBranch[] {
  if (left.length * right.length > branchesMax) throw tooManyBranches(binding);
  if (Math.max(0, ...left.map(tablesIn)) + Math.max(0, ...right.map(tablesIn)) > tablesMax) {
    throw refuse(binding, `it joins more than ${tablesMax} tables`, undefined, "Split the view.");
  }
  return left.flatMap((a) =>
    right.map((b) => {
      const twice = b.scope.tables.find(
        (table) => table.alias !== "" && a.scope.tables.some((other) => other.alias === table.alias),
      );
      if (twice !== undefined) {
        throw binding.source.refusal("VIEW_SQL_INVALID", `table name "${twice.alias}" stands in FROM twice`, {
          hint: `Give one of them an alias: … as ${twice.alias}2`,
        });
      }
      return {
        scope: joinScopes(a.scope, b.scope),
        occurrences: [...a.occurrences, ...b.occurrences],
        conjuncts: [...a.conjuncts, ...b.conjuncts],
      };
    }),
  );
}

export function bindTable(name: RangeVar, binding: Binding): FromBranch {
  const { mirror, alias: relation, path } = resolveTable(name, binding.mirrors, binding.source);
  const alias = name.alias?.aliasname ?? relation;
  const written = path.length + 1;
  if (name.location !== undefined) {
    const end = binding.source.endOfName(name.location, written);
    const named = name.alias === undefined ? ` as ${quote(alias)}` : "";
    binding.replacements.set(name.location, { end, text: `${mirrorTable(mirror)}${named}` });
  }
  const occurrence: Occurrence = { mirror, alias };
  const names = renamed(
    mirror.shape.columns.map((column) => column.name),
    aliasesOf(name, mirror, binding),
  );
  const columns = mirror.shape.columns.map(
    (column, i): ScopeColumn => ({
      name: names[i] ?? column.name,
      qualifier: alias,
      bound: {
        parts: [{ kind: "column", occurrence, column: column.name }],
        key: "",
        type: parseType(column.storeType),
        notNull: !column.nullable,
      },
    }),
  );
  const table: ScopeTable = {
    alias,
    path: name.alias === undefined ? path : [],
    columns,
    label: tableLabel(mirror),
    occurrence,
  };
  return { scope: { tables: [table], visible: columns }, occurrences: [occurrence], conjuncts: [] };
}

/** Names that an alias gives columns from the first one on: `orders as o (id, customer)`. */
function aliasesOf(name: RangeVar, mirror: MirrorBinding, binding: Binding): string[] {
  const aliases = (name.alias?.colnames ?? []).map(nameOf);
  if (aliases.length > mirror.shape.columns.length) {
    const has = `table "${tableLabel(mirror)}" has ${mirror.shape.columns.length} columns, and its alias names ${aliases.length}`;
    throw binding.source.refusal("VIEW_SQL_INVALID", has, { at: name.location });
  }
  return aliases;
}

function tablesIn(from: FromBranch): number {
  return from.occurrences.length;
}

export function renamed(names: readonly string[], aliases: readonly string[]): string[] {
  return names.map((name, i) => aliases[i] ?? name);
}

export function derived(
  query: { readonly branches: readonly Branch[] },
  alias: string,
  names: readonly string[],
  binding: Binding,
): FromBranch[] {
  const sizes = query.branches.flatMap((branch) => branch.outputs.map(printedSize));
  if (Math.max(0, ...sizes) > expressionCharactersMax) {
    throw refuse(
      binding,
      "a column of a subquery grows too large when it is written out",
      undefined,
      "Split the view.",
    );
  }
  return query.branches.map((branch) => {
    const columns = branch.outputs.map(
      (output, i): ScopeColumn => ({
        name: names[i] ?? "",
        qualifier: alias === "" ? null : alias,
        // A quoted constant becomes text where a subquery ends, as in PostgreSQL.
        bound: output.type.name === "literal" ? converted(output, type("text")) : output,
      }),
    );
    const table: ScopeTable = { alias, path: [], columns, label: alias, occurrence: null };
    return {
      scope: { tables: [table], visible: columns },
      occurrences: branch.occurrences,
      conjuncts: branch.conjuncts,
    };
  });
}

/** The expression in the type that a union or USING settled on. */
export function converted(bound: Bound, to: SqlType): Bound {
  const alike =
    sameType(bound.type, to) || (/^(text|varchar)$/.test(bound.type.name) && /^(text|varchar)$/.test(to.name));
  if (alike) return { ...bound, type: to };
  return compose(["(", bound, `::pg_catalog.${to.name}${to.array ? "[]" : ""})`], {
    type: to,
    notNull: bound.notNull,
  });
}

export function mergeUsing(
  joined: FromBranch,
  leftWidth: number,
  using: readonly string[],
  binding: Binding,
  join: JoinExpr,
): FromBranch {
  const sides = [joined.scope.visible.slice(0, leftWidth), joined.scope.visible.slice(leftWidth)];
  const conjuncts: Conjunct[] = [];
  const merged = using.map((name): ScopeColumn => {
    const [left, right] = sides.map((side) => {
      const found = side.filter((column) => column.name === name);
      if (found.length === 1 && found[0] !== undefined) return found[0].bound;
      const code = found.length === 0 ? "VIEW_UNKNOWN_COLUMN" : "VIEW_COLUMN_AMBIGUOUS";
      throw binding.source.refusal(
        code,
        `column "${name}" of ${join.isNatural === true ? "a natural join" : "using"} is ${found.length === 0 ? "not on" : "more than once on"} one side of the join`,
        { at: locationOf(join.rarg) },
      );
    });
    if (left === undefined || right === undefined)
      throw refuse(binding, "this form of join is not read here", undefined, "Use on.");
    checkMeet(name, left.type, right.type, join, binding.source);
    const common = commonType([left.type, right.type]);
    if (common.name === "?")
      throw refuse(
        binding,
        `${join.isNatural === true ? `a natural join by "${name}"` : `using (${name})`} joins columns whose types are not known to be one`,
        locationOf(join.rarg),
        "Use on, and cast one side.",
      );
    conjuncts.push({ bound: compose(["(", left, " = ", right, ")"], { type: type("bool") }), equal: [left, right] });
    const side = sameType(left.type, common) || !sameType(right.type, common) ? left : right;
    return { name, qualifier: null, merges: side, bound: { ...converted(side, common), notNull: true } };
  });
  const rest = joined.scope.visible.filter((column) => !using.includes(column.name));
  return {
    ...joined,
    scope: { tables: joined.scope.tables, visible: [...merged, ...rest] },
    conjuncts: [...joined.conjuncts, ...conjuncts],
  };
}

/** Columns with the keys by which expressions over this FROM are compared. */
export function numbered(from: FromBranch): FromBranch {
  const keys = new Map<Bound, string>();
  const tables = from.scope.tables.map((table, t) => ({
    ...table,
    columns: table.columns.map((column, c) => {
      const key = `#${t}.${c}`;
      keys.set(column.bound, key);
      return { ...column, bound: { ...column.bound, key } };
    }),
  }));
  const visible = from.scope.visible.map((column, i) => ({
    ...column,
    bound: { ...column.bound, key: keys.get(column.bound) ?? keys.get(column.merges ?? column.bound) ?? `#using.${i}` },
  }));
  return { ...from, scope: { tables, visible } };
}

/** Columns that the conditions prove to be there: both sides of an equality, and what IS NOT NULL names. */
export function withoutNulls(from: FromBranch): FromBranch {
  const proven = new Set<string>();
  const mark = (bound: Bound | undefined) => {
    const column = bound === undefined ? null : plainColumn(bound);
    if (column !== null) proven.add(`${from.occurrences.indexOf(column.occurrence)}.${column.column}`);
  };
  for (const { equal, bound } of from.conjuncts) {
    equal?.forEach(mark);
    const [open, hole, test] = bound.parts;
    if (open === "(" && test === " is not null)" && hole !== undefined && bound.parts.length === 3)
      mark({ ...bound, parts: [hole] });
  }
  const strengthen = (column: ScopeColumn): ScopeColumn => {
    const plain = plainColumn(column.bound);
    const known = plain !== null && proven.has(`${from.occurrences.indexOf(plain.occurrence)}.${plain.column}`);
    return known ? { ...column, bound: { ...column.bound, notNull: true } } : column;
  };
  const tables = from.scope.tables.map((table) => ({ ...table, columns: table.columns.map(strengthen) }));
  return { ...from, scope: { tables, visible: from.scope.visible.map(strengthen) } };
}

/** The conditions that AND connects, over the rows of a FROM. */
export function bindConjuncts(node: Node | undefined, from: FromBranch, binding: Binding): Conjunct[] {
  if (node === undefined) return [];
  if ("BoolExpr" in node && node.BoolExpr.boolop === "AND_EXPR") {
    return (node.BoolExpr.args ?? []).flatMap((arg) => bindConjuncts(arg, from, binding));
  }
  const place = placeOf(binding, from.scope);
  const temporal = bindTemporal(node, { place, binding, tables: from.occurrences });
  if (temporal !== null) return temporal;
  if (
    "A_Expr" in node &&
    node.A_Expr.kind === "AEXPR_OP" &&
    operatorName(node.A_Expr, place) === "=" &&
    node.A_Expr.lexpr !== undefined
  ) {
    const left = bindExpression(node.A_Expr.lexpr, place);
    const right = bindExpression(node.A_Expr.rexpr, place);
    return [{ bound: compose(["(", left, " = ", right, ")"], { type: type("bool") }), equal: [left, right] }];
  }
  return [{ bound: bindExpression(node, place), equal: null }];
}

export function placeOf(binding: Binding, scope: Scope): ExpressionPlace {
  return {
    source: binding.source,
    scope,
    onColumn: (names, at) => {
      const text = names.slice(-2).map(quote).join(".");
      binding.replacements.set(at, { end: binding.source.endOfName(at, names.length), text });
    },
  };
}

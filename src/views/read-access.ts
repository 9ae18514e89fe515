/**
 * Whether an index leads a read to its rows, from the read and the indexes of the version alone: no plan is asked for. Pure.
 *
 * A read is served when an index finds the rows of one of the conditions that must all hold; without conditions, when one has its order.
 * Conditions that most rows are expected to meet (`neq`, `isdistinct`, `not.`, `is.not_null`) are no reason for an index.
 */
import type { IndexField } from "../catalog/definitions.ts";
import type { FindFilter } from "./find/find-query.ts";
import { treeTerm } from "./find/tree.ts";
import type { LiveView } from "./live-view.ts";
import { hasAggregates } from "./row-aggregates.ts";
import { fieldName } from "./row-field.ts";
import { operatorsOf } from "./row-operators.ts";
import { baseType, isTextType } from "./row-type.ts";
import type { Field, Filter, RowQuery, UnindexedRead } from "./view-info.ts";

type Indexed = Pick<LiveView, "name" | "columns" | "indexes" | "reads" | "find">;
type Compare = Extract<Filter, { kind: "compare" }>;
type Junction = Extract<Filter, { kind: "and" | "or" }>;

/** A view with no more rows than this is read without a word. */
export const smallRowsMax = 10_000;

/** Null when an index serves the read, or none could be of use. */
export function unindexedRead(view: Indexed, query: RowQuery): UnindexedRead | null {
  const conditions = query.filter === null ? [] : termsOf(query.filter).filter(narrows);
  if (conditions.some((one) => isServed(view, one))) return null;
  const ordered = unservedOrder(view, query);
  if (conditions.length === 0 && ordered === null) return null;
  return {
    filtered: [...new Set(conditions.flatMap(namesIn).map(brief))].slice(0, namesMax),
    ordered: ordered === null ? [] : [brief(ordered.name)],
    option: optionFor(view, conditions, ordered?.field ?? null),
  };
}

const namesMax = 10;
const nameLengthMax = 100;

/** A path is as its sender wrote it: of any length, and with any character. */
function brief(name: string): string {
  const printable = name.replace(/\p{Cc}/gu, "\ufffd");
  return printable.length <= nameLengthMax ? printable : `${printable.slice(0, nameLengthMax)}…`;
}

/** What must all hold. */
function termsOf(filter: Filter): readonly Filter[] {
  return isJunction(filter) && filter.kind === "and" && !filter.negated ? filter.of.flatMap(termsOf) : [filter];
}

function isJunction(filter: Filter): filter is Junction {
  return filter.kind === "and" || filter.kind === "or";
}

function narrows(filter: Filter): boolean {
  if (filter.negated) return false;
  if (isJunction(filter)) return filter.kind === "or" ? filter.of.every(narrows) : filter.of.some(narrows);
  if (filter.kind !== "compare") return true;
  const { operator, values } = filter;
  return operator !== "neq" && operator !== "isdistinct" && !(operator === "is" && values[0] === "not_null");
}

function isServed(view: Indexed, filter: Filter): boolean {
  if (isJunction(filter)) {
    const parts = filter.of.filter(narrows);
    return filter.kind === "or" ? parts.every((one) => isServed(view, one)) : parts.some((one) => isServed(view, one));
  }
  // An option that searches has its index; without it the read is refused.
  if (filter.kind !== "compare" || treeTerm(view, filter) !== null) return true;
  const lookup = lookupOf(view, filter);
  return (lookup !== null && isFirst(view, filter, lookup)) || isGin(view, filter);
}

const methodsFor = { points: ["btree", "spgist", "hash"], span: ["btree", "spgist"], order: ["btree"] } as const;

/** An index over the field, or one that begins with it. */
function isFirst({ indexes, reads }: Indexed, { column, path }: Field, use: keyof typeof methodsFor): boolean {
  const methods: readonly string[] = methodsFor[use];
  if (path === undefined) return indexes.some((one) => one.columns[0] === column && methods.includes(one.method));
  return (reads?.indexes ?? []).some((one) => "fields" in one && isField(one.fields[0], { column, path }));
}

function isField(indexed: IndexField | undefined, { column, path }: Required<Field>): boolean {
  if (indexed?.column !== column || indexed.text !== path.text || indexed.steps.length !== path.steps.length)
    return false;
  return indexed.steps.every((step, i) => step === path.steps[i]);
}

function isGin({ reads, columns }: Indexed, filter: Compare): boolean {
  const { column } = filter;
  const indexed = (reads?.indexes ?? []).some((one) => "gin" in one && one.gin === column);
  return indexed && ginServes(columns.find(({ name }) => name === column)?.type ?? "", filter);
}

/** Whether `{ gin }` over the column finds what the condition asks for. */
function ginServes(type: string, { operator, path, quantifier }: Compare): boolean {
  if (path !== undefined || quantifier !== undefined) return false;
  const base = baseType(type);
  if (base === "jsonb") return ["cs", "jsonpath", "jsonmatch"].includes(operator);
  if (base === "tsvector") return ["fts", "plfts", "phfts", "wfts"].includes(operator);
  return base.endsWith("[]") && ["cs", "cd", "ov"].includes(operator);
}

/** What an ordinary index does for the condition: finds one value after the other, or a span of them; null for nothing. */
function lookupOf({ columns }: Indexed, filter: Compare): "points" | "span" | null {
  const { operator, quantifier, values, path } = filter;
  const type = columns.find(({ name }) => name === filter.column)?.type ?? "";
  if (!isOrdered(type, filter)) return null;
  switch (operator) {
    case "eq":
      return quantifier === "all" ? null : "points";
    case "in":
      return "points";
    case "is":
      return values[0] === "unknown" ? null : "points";
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return quantifier === undefined ? "span" : null;
    case "like": {
      // Compared by code points, a pattern that begins with letters is a span. Another type is first made a text.
      const text = path === undefined ? /^(text|character varying)$/.test(baseType(type)) : path.text;
      return text && quantifier === undefined && /^[^*%_\\]/.test(values[0] ?? "") ? "span" : null;
    }
    default:
      return null;
  }
}

/** Whether `index` can name the field. */
function isOrdered(type: string, { path }: Field): boolean {
  return path === undefined ? operatorsOf(type).includes("gt") : /^jsonb?$/.test(baseType(type));
}

interface UnservedOrder {
  readonly name: string;
  /** Null when no index can have it. */
  readonly field: Field | null;
}

function unservedOrder(view: Indexed, query: RowQuery): UnservedOrder | null {
  const [first] = query.order;
  // Groups have an order of their own, and what is near is found in its order.
  if (first === undefined || hasAggregates(query)) return null;
  if (query.find?.near !== undefined && first.column === "_distance") return null;
  const { relation, descending, nulls, ...field } = first;
  if (relation !== undefined) return { name: `${relation}(${fieldName(field)})`, field: null };
  const own = nulls === null || (nulls === "first") === descending;
  const type = view.columns.find(({ name }) => name === field.column)?.type;
  if (!own || type === undefined || !isOrdered(type, field)) return { name: fieldName(field), field: null };
  return isFirst(view, field, "order") ? null : { name: fieldName(field), field };
}

function namesIn(filter: Filter): string[] {
  if (isJunction(filter)) return filter.of.flatMap(namesIn);
  return filter.kind === "compare" ? [fieldName(filter)] : found(filter);
}

/** What a search is of is no column, or is served. */
function found(filter: FindFilter): string[] {
  return (filter.kind === "similar" || filter.kind === "tree") && filter.column !== null ? [filter.column] : [];
}

const fieldsMax = 4;
const indexesMax = 4;

/** An option of `view(…)` by which the read would be served, as it is written. */
function optionFor(view: Indexed, conditions: readonly Filter[], order: Field | null): string | null {
  const indexes = indexesFor(view, conditions, order);
  if (indexes !== null) return `index: [${indexes.join(", ")}]`;
  for (const one of conditions) {
    if (one.kind !== "compare" || one.path !== undefined) continue;
    const type = view.columns.find(({ name }) => name === one.column)?.type ?? "";
    if (!isTextType(type)) continue;
    const search = ["fts", "plfts", "phfts", "wfts"].includes(one.operator);
    return `${search ? "search" : "fuzzy"}: [${JSON.stringify(one.column)}]`;
  }
  return null;
}

/** Members of the option `index`; null when none is of use. */
function indexesFor(view: Indexed, conditions: readonly Filter[], order: Field | null): string[] | null {
  const compared = conditions.filter((one) => one.kind === "compare");
  const fieldsOf = (kind: "points" | "span") =>
    compared.filter((one) => lookupOf(view, one) === kind && isWritable(one)).map(fieldName);
  const points = [...new Set(fieldsOf("points"))].slice(0, fieldsMax - 1);
  const [span] = fieldsOf("span");
  const last =
    span ?? (conditions.length === 0 || points.length > 0 ? order && isWritable(order) && fieldName(order) : null);
  const fields = [...new Set([...points, ...(last ? [last] : [])])].map((name) => JSON.stringify(name));
  if (fields.length > 0) return [fields.length === 1 ? String(fields[0]) : `[${fields.join(", ")}]`];
  const gin = compared.find((one) => ginServes(view.columns.find(({ name }) => name === one.column)?.type ?? "", one));
  if (gin !== undefined) return [`{ gin: ${JSON.stringify(gin.column)} }`];
  for (const one of conditions) {
    if (one.kind !== "or") continue;
    // Each of the alternatives is to be found.
    const unserved = one.of.filter((part) => !isServed(view, part));
    const each = unserved.map((part) => indexesFor(view, termsOf(part).filter(narrows), null));
    const all = [...new Set(each.flatMap((part) => part ?? []))];
    if (each.every((part) => part !== null) && all.length <= indexesMax) return all;
  }
  return null;
}

/** Whether `index` can write it: arrows inside a name are those of a path. */
function isWritable(field: Field): boolean {
  const name = fieldName(field);
  const parts = [field.column, ...(field.path?.steps ?? [])];
  return name === brief(name) && parts.every((part) => part !== "" && !part.includes("->"));
}

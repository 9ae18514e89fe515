/** Nodes of a graph: the values of the two columns of its edges, each as the one text that it has. Pure. */
import { MillraceError } from "../../base/errors.ts";
import { type GraphOption, quote } from "../../catalog/definitions.ts";
import { baseType } from "../row-type.ts";
import type { ViewColumn } from "../view-info.ts";
import type { Node } from "./graph-query.ts";

/** What a column's values are as nodes. */
export type NodeKind = "number" | "text" | "uuid";

/** Longer texts are no nodes: so walks know what they hold, and an index of two holds every edge. */
export const textBytesMax = 1_000;

/** Null for types whose values are no nodes. */
export function nodeKind(type: string): NodeKind | null {
  switch (baseType(type)) {
    case "smallint":
    case "integer":
    case "bigint":
      return "number";
    case "text":
    case "character varying":
      return "text";
    case "uuid":
      return "uuid";
    default:
      return null;
  }
}

type Columns = readonly Pick<ViewColumn, "name" | "type">[];

export function kindOf(graph: GraphOption, columns: Columns): NodeKind {
  return nodeKind(columns.find(({ name }) => name === graph.from)?.type ?? "") ?? "text";
}

/** By which edges are found from either end: what follows `create index on <table>`. */
export function nodeIndexes(graph: GraphOption, columns: Columns): string[] {
  const [from, to] = [quote(graph.from), quote(graph.to)];
  const only = kindOf(graph, columns) === "text" ? ` where ${isEdge("text", from, to)}` : "";
  return [`(${from}, ${to})${only}`, `(${to}, ${from})${only}`];
}

/** The condition that a row with these ends is an edge. */
export function isEdge(kind: NodeKind, from: string, to: string): string {
  if (kind !== "text") return `${from} is not null and ${to} is not null`;
  return `octet_length(${from}) <= ${textBytesMax} and octet_length(${to}) <= ${textBytesMax}`;
}

/** The type that nodes are compared in. */
export function nodeType(kind: NodeKind): "bigint" | "text" | "uuid" {
  return kind === "number" ? "bigint" : kind;
}

/** In the order of the columns' values. */
export function compareNodes(kind: NodeKind, a: string, b: string): number {
  if (kind === "number") return a.length < 16 && b.length < 16 ? Number(a) - Number(b) : Number(BigInt(a) - BigInt(b));
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** As a row would have it. */
export function nodeForm(native: boolean, node: string): Node {
  return native ? Number(node) : node;
}

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The node's text as PostgreSQL writes it. Throws `NODE_INVALID`. */
export function nodeText(kind: NodeKind, parameter: string, given: string): string {
  if (kind === "number") {
    const number = /^-?\d{1,19}$/.test(given) ? BigInt(given) : null;
    if (number !== null && BigInt.asIntN(64, number) === number) return String(number);
    throw invalid(parameter, given, "nodes of this view are whole numbers of 64 bits");
  }
  if (kind === "uuid") {
    if (uuidForm.test(given)) return given.toLowerCase();
    throw invalid(parameter, given, "nodes of this view are uuids");
  }
  if (given.includes("\0")) throw invalid(parameter, given, "a text has no NUL character");
  if (Buffer.byteLength(given) > textBytesMax)
    throw invalid(parameter, given, `a node has at most ${textBytesMax} bytes`);
  return given;
}

function invalid(parameter: string, given: string, why: string): MillraceError {
  return new MillraceError("NODE_INVALID", `${parameter} is ${JSON.stringify(given.slice(0, 80))}: ${why}`);
}

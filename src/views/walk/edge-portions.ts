/**
 * Edges of a view in portions of a bounded size. Nodes are asked for together, as many as have had edges for about half a
 * portion; the edges of a node that has more are read through a cursor.
 */
import { Parameters } from "../row-filter.ts";
import type { Statement } from "../row-sql.ts";
import type { Direction, GraphQuery } from "./graph-query.ts";
import { type GraphView, stepsSql } from "./graph-sql.ts";
import type { Edges, Step } from "./walk.ts";

const portionRows = 10_000;
const nodesMax = 1_000;

export class EdgePortions implements Edges {
  readonly #statements: Readonly<Record<"out" | "in", Statement>>;
  readonly #run: <Row extends object>(statement: Statement) => Promise<Row[]>;
  /** Of all nodes that were asked for, so that the first portions are not too large. */
  #nodes = 1;
  #edges = 10;

  constructor(of: GraphView, query: GraphQuery, run: <Row extends object>(statement: Statement) => Promise<Row[]>) {
    this.#statements = { out: stepsSql(of, query, "out"), in: stepsSql(of, query, "in") };
    this.#run = run;
  }

  async *of(nodes: readonly string[], direction: Direction): AsyncGenerator<readonly Step[], void> {
    for (const side of direction === "both" ? (["out", "in"] as const) : [direction]) {
      for (let at = 0; at < nodes.length; ) {
        const count = Math.floor(Math.min(nodesMax, (portionRows / 2) * (this.#nodes / Math.max(1, this.#edges))));
        const some = nodes.slice(at, at + Math.max(1, count));
        at += some.length;
        yield* this.#some(some, this.#statements[side]);
      }
    }
  }

  async *#some(nodes: readonly string[], statement: Statement): AsyncGenerator<readonly Step[], void> {
    statement.parameters.values[0] = nodes;
    const read = await this.#run<Step>({ ...statement, text: `${statement.text} limit ${portionRows + 1}` });
    this.#nodes += nodes.length;
    this.#edges += read.length;
    if (read.length <= portionRows) {
      yield read;
      return;
    }
    if (nodes.length > 1) {
      const half = nodes.length >> 1;
      yield* this.#some(nodes.slice(0, half), statement);
      yield* this.#some(nodes.slice(half), statement);
      return;
    }
    await this.#run({ ...statement, text: `declare edges no scroll cursor for ${statement.text}` });
    const parameters = new Parameters();
    let failed = false;
    const fetch = async () => {
      failed = true;
      const rows = await this.#run<Step>({ text: `fetch ${portionRows} from edges`, parameters });
      failed = false;
      return rows;
    };
    try {
      let more = await fetch();
      for (yield more; more.length === portionRows; yield more) more = await fetch();
    } finally {
      // Nothing can be said to a transaction that has failed, and its error is the one to be told.
      if (!failed) await this.#run({ text: "close edges", parameters });
    }
  }
}

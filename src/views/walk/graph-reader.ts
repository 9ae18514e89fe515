/**
 * Answers what is asked of a graph from one snapshot of the store: its edges are read in portions as a walk needs them, over
 * one connection. What is held is bounded by the walk's bounds and by one portion.
 */
import type { Pool, PoolClient } from "pg";
import { MillraceError } from "../../base/errors.ts";
import { type PositionRow, positionOf } from "../reader-position.ts";
import { inTransaction, runWithin } from "../reader-reads.ts";
import { withReader } from "../reader-session.ts";
import type { ReadableView, Statement } from "../row-sql.ts";
import { cheapestPath } from "./cheapest.ts";
import { EdgePortions } from "./edge-portions.ts";
import { type GraphAnswer, type GraphQuery, hopsMax } from "./graph-query.ts";
import { costForm, type GraphView, graphOf, negativeSql, neighboursSql, pathSql } from "./graph-sql.ts";
import { compareNodes, nodeForm, nodeText } from "./nodes.ts";
import { reach, shortestPath } from "./walk.ts";

export interface GraphReadOptions {
  readonly pool: Pool;
  /** Of who reads, where the view has a policy. */
  readonly claims: string | null;
  /** A select of the group's position, as `GroupViews` has it. */
  readonly positionSql: string;
  /** The connection of a walk that takes longer is ended by the server. */
  readonly walkMs: number;
  /** Edges that a walk may read. */
  readonly edgesMax: number;
  /** JSON of the rows of a path. */
  readonly rowsBytesMax: number;
  /** An error of a statement in words of the request. */
  readonly explain: (error: unknown, statement: Statement) => Promise<unknown>;
  readonly signal?: AbortSignal;
}

type Asked<Kind extends GraphQuery["kind"]> = Extract<GraphQuery, { kind: Kind }>;
type Answered<Kind extends GraphAnswer["kind"]> = Omit<Extract<GraphAnswer, { kind: Kind }>, "position">;

/** Throws `VIEW_OPTION_MISSING`, `NODE_INVALID`, `WEIGHT_NEGATIVE`, and what filters throw. */
export async function readGraph(
  view: ReadableView,
  query: GraphQuery,
  options: GraphReadOptions,
): Promise<GraphAnswer> {
  const read = new GraphRead(graphOf(view), options);
  try {
    return await withReader(options.pool, (client) =>
      inTransaction(
        client,
        { locks: [view.lock ?? view.publicView], transactionMs: options.walkMs, claims: options.claims },
        () => read.answer(query, client),
      ),
    );
  } catch (error) {
    throw read.running === null ? error : await options.explain(error, read.running);
  }
}

class GraphRead {
  readonly #of: GraphView;
  readonly #options: GraphReadOptions;
  #client: PoolClient | null = null;
  /** The statement whose error is on its way. */
  running: Statement | null = null;

  constructor(of: GraphView, options: GraphReadOptions) {
    this.#of = of;
    this.#options = options;
  }

  async answer(query: GraphQuery, client: PoolClient): Promise<GraphAnswer> {
    this.#client = client;
    // Edges of some nodes are found by the index, also in a table that nobody has analysed yet.
    await client.query("set local enable_seqscan = off");
    const { positionSql } = this.#options;
    const { rows } = await client.query<PositionRow>(`select p.generation, p.batch from (${positionSql}) as p`);
    const position = positionOf(rows[0]);
    switch (query.kind) {
      case "neighbours":
        return { ...(await this.#neighbours(query)), position };
      case "reach":
        return { ...(await this.#reach(query)), position };
      case "path":
        return { ...(await this.#path(query)), position };
    }
  }

  async #neighbours(query: Asked<"neighbours">): Promise<Answered<"neighbours">> {
    const { kind } = this.#of;
    const after = query.cursor === null ? null : afterCursor(this.#of, query.cursor);
    const statement = neighboursSql(this.#of, query, nodeText(kind, "of", query.of), after);
    const found = await this.#run<{ node: string; edges: string }>(statement);
    const page = found.slice(0, query.limit);
    const last = page.at(-1);
    return {
      kind: "neighbours",
      items: page.map(({ node, edges }) => ({ node: nodeForm(this.#of.native, node), edges: Number(edges) })),
      next: last === undefined || found.length === page.length ? null : Buffer.from(last.node).toString("base64url"),
    };
  }

  async #reach(query: Asked<"reach">): Promise<Answered<"reach">> {
    const { kind } = this.#of;
    const start = nodeText(kind, "of", query.of);
    const { items, truncated } = await reach(this.#edges(query), start, query.direction, this.#bounds(query));
    const inOrder = items.toSorted((a, b) => a.hops - b.hops || compareNodes(kind, a.node, b.node));
    return {
      kind: "reach",
      items: inOrder.map(({ node, hops }) => ({ node: nodeForm(this.#of.native, node), hops })),
      truncated,
    };
  }

  async #path(query: Asked<"path">): Promise<Answered<"path">> {
    const { kind } = this.#of;
    const [from, to] = [nodeText(kind, "from", query.from), nodeText(kind, "to", query.to)];
    const byWeight = query.by === "weight";
    if (byWeight) await this.#refuseNegative(query);
    const find = byWeight ? cheapestPath : shortestPath;
    const found = await find(this.#edges(query), from, to, query.direction, this.#bounds(query));
    const nodes = found.nodes ?? [];
    const taken = nodes.length < 2 ? [] : await this.#taken(query, nodes);
    return {
      kind: "path",
      found: found.nodes !== null,
      truncated: found.truncated,
      nodes: nodes.map((node) => nodeForm(this.#of.native, node)),
      edges: taken.map(({ row }) => row),
      cost: byWeight && found.nodes !== null ? costForm(this.#of, taken[0]?.cost ?? "0") : null,
    };
  }

  async #taken(query: Asked<"path">, nodes: readonly string[]): Promise<{ row: string; cost: string | null }[]> {
    const { rowsBytesMax } = this.#options;
    const taken = await this.#run<{ row: string; cost: string | null }>(pathSql(this.#of, query, nodes, rowsBytesMax));
    if (taken.length === nodes.length - 1) return taken;
    throw new MillraceError(
      "REQUEST_INVALID",
      `the ${nodes.length - 1} rows of the path take more than ${rowsBytesMax} bytes`,
      {
        hint: "Read it in a view with fewer columns.",
      },
    );
  }

  async #refuseNegative(query: Asked<"path">): Promise<void> {
    const [edge] = await this.#run<{ from: string; to: string }>(negativeSql(this.#of, query));
    if (edge === undefined) return;
    const { name } = this.#of.view;
    throw new MillraceError(
      "WEIGHT_NEGATIVE",
      `view "${name}" has an edge with a negative weight, from ${JSON.stringify(edge.from.slice(0, 80))} to ${JSON.stringify(edge.to.slice(0, 80))}: no path would be the cheapest`,
      {
        hint: `Leave such edges out: ${this.#of.graph.weight}=gte.0.`,
        details: { view: name, column: this.#of.graph.weight },
      },
    );
  }

  #edges(query: Asked<"reach" | "path">): EdgePortions {
    const run = <Row extends object>(statement: Statement) => this.#run<Row>(statement);
    return new EdgePortions(this.#of, query, run);
  }

  #bounds({ nodesMax, ...query }: Asked<"reach" | "path">) {
    const hops = { max: query.hops ?? hopsMax, asked: query.hops !== null };
    return { nodesMax, edgesMax: this.#options.edgesMax, hops };
  }

  async #run<Row extends object>(statement: Statement): Promise<Row[]> {
    this.#options.signal?.throwIfAborted();
    this.running = statement;
    const rows = await runWithin<Row>(this.#client as PoolClient, statement);
    this.running = null;
    return rows;
  }
}

/** The node after which the page begins. Throws `TOKEN_INVALID`. */
function afterCursor({ kind }: GraphView, cursor: string): string {
  try {
    if (!/^[A-Za-z0-9_-]*$/.test(cursor)) throw new Error("no base64url");
    return nodeText(kind, "cursor", Buffer.from(cursor, "base64url").toString());
  } catch (cause) {
    throw new MillraceError("TOKEN_INVALID", "the page's cursor is none of ours", {
      hint: "Take next of the page before as it was answered, or begin with the first page.",
      cause,
    });
  }
}

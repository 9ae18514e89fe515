/** One view: pages of rows, one row, and the rows as they change. */
import { MillraceClientError } from "./client-error.ts";
import type { Pace } from "./follow.ts";
import {
  type EdgesQuery,
  edgesParameters,
  type Neighbours,
  type NeighboursQuery,
  type Node,
  type Path,
  type PathQuery,
  type Reach,
  type ReachQuery,
} from "./graph.ts";
import { type LiveOptions, LiveRows } from "./live-rows.ts";
import { conditionParameters, type Found, pageParameters, type RowsQuery } from "./row-query.ts";
import { jsonOf, type Transport } from "./transport.ts";

export interface Page<Row> extends ReadonlyArray<Row> {
  /** For `cursor` of the next page; null on the last one. */
  readonly next: string | null;
  /** What these rows show: `after` of a later read. */
  readonly token: string | null;
  /** How many rows match, of a query with `count`; else null. */
  readonly total: number | null;
}

export type Key = string | number | boolean | readonly (string | number | boolean)[];

export class ViewClient<Row extends object> {
  readonly name: string;
  readonly #transport: Transport;
  readonly #pace: Pace;

  constructor(name: string, transport: Transport, pace: Pace) {
    this.name = name;
    this.#transport = transport;
    this.#pace = pace;
  }

  /** Throws `MillraceClientError` (`VIEW_UNKNOWN`, `VIEW_BUILDING`, `COLUMN_UNKNOWN`, `FILTER_INVALID`, …). */
  rows<Column extends keyof Row = keyof Row>(
    query?: RowsQuery<Row, Column> & { readonly select?: readonly Column[] },
  ): Promise<Page<Pick<Row, Column> & Found>>;
  /** Of a `select` in PostgREST's grammar nobody but the caller knows what its rows have. */
  rows<Selected extends object = Record<string, unknown>>(
    query: RowsQuery<Row> & { readonly select: string },
  ): Promise<Page<Selected>>;
  async rows(query: RowsQuery<Row> = {}): Promise<Page<object>> {
    const answer = await this.#transport.read(this.#path(), "views", {
      query: pageParameters(query),
      after: query.after,
      ...(query.count === undefined ? {} : { headers: { prefer: `count=${query.count}` } }),
      ...(query.signal ? { signal: query.signal } : {}),
    });
    const rows = await jsonOf(answer);
    if (!Array.isArray(rows)) throw new MillraceClientError("ANSWER_INVALID", "the answer is no list of rows");
    const next = nextCursor(answer.headers.get("link"));
    const total = /\/(\d+)$/.exec(answer.headers.get("content-range") ?? "")?.[1];
    return Object.assign(rows as object[], {
      next,
      token: answer.headers.get("millrace-token"),
      total: total === undefined ? null : Number(total),
    });
  }

  /** Undefined when there is no such row. A composite key is an array in the order of its columns, the key of a view of one row is `[]`. */
  async get(
    key: Key,
    options: { readonly after?: string; readonly signal?: AbortSignal } = {},
  ): Promise<Row | undefined> {
    const parts = Array.isArray(key) ? key : [key];
    if (parts.length === 0) return (await this.rows({ ...options, limit: 1 }))[0];
    const segment = parts.map((part) => encodeURIComponent(String(part))).join(",");
    try {
      // A key called like the feed's path differs from it by its spelling.
      const path = `${this.#path()}/${segment === "live" ? "%6Cive" : segment}`;
      const signal = options.signal ? { signal: options.signal } : {};
      return (await jsonOf(await this.#transport.read(path, "views", { after: options.after, ...signal }))) as Row;
    } catch (error) {
      if (error instanceof MillraceClientError && error.code === "ROW_NOT_FOUND") return undefined;
      throw error;
    }
  }

  /** Nodes that an edge of the node leads to, in a view with the option `graph`. */
  neighbours(of: Node, query: NeighboursQuery<Row> = {}): Promise<Neighbours> {
    return this.#graph("neighbours", [["of", String(of)]], query);
  }

  /** Nodes that can be reached from the node, with how many edges away they are. */
  reach(of: Node, query: ReachQuery<Row> = {}): Promise<Reach> {
    return this.#graph("reach", [["of", String(of)]], query);
  }

  /** One of the shortest paths, or of the cheapest. */
  path(from: Node, to: Node, query: PathQuery<Row> = {}): Promise<Path<Row>> {
    const ends: [string, string][] = [
      ["from", String(from)],
      ["to", String(to)],
    ];
    return this.#graph("path", ends, query);
  }

  async #graph<Answer>(kind: string, ends: [string, string][], query: EdgesQuery<Row>): Promise<Answer> {
    const answer = await this.#transport.read(`${this.#path()}/graph/${kind}`, "views", {
      query: [...ends, ...edgesParameters(query)],
      after: query.after,
      ...(query.signal ? { signal: query.signal } : {}),
    });
    return (await jsonOf(answer)) as Answer;
  }

  /** The rows that match, kept as they are on the server until `close` or the signal. */
  live(options: LiveOptions<Row> = {}): LiveRows<Row> {
    return new LiveRows<Row>({
      transport: this.#transport,
      pace: this.#pace,
      path: `${this.#path()}/live`,
      query: conditionParameters(options),
      options,
    });
  }

  #path(): string {
    return `/v1/views/${encodeURIComponent(this.name)}`;
  }
}

function nextCursor(link: string | null): string | null {
  const match = link === null ? null : /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link);
  const query = match?.[1]?.split("?")[1];
  return query === undefined ? null : new URLSearchParams(query).get("cursor");
}

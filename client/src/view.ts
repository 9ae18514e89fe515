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
import {
  asOfParameter,
  conditionParameters,
  type Found,
  type Parameter,
  pageParameters,
  type RowsQuery,
  selectParameter,
} from "./row-query.ts";
import type { SelectedRow } from "./selected-row.ts";
import { jsonOf, type Transport } from "./transport.ts";
import { type BelowQuery, type TreeQuery, treeParameters, treeSegment } from "./tree.ts";

export interface Page<Row> extends ReadonlyArray<Row> {
  /** For `cursor` of the next page; null on the last one. */
  readonly next: string | null;
  /** What these rows show: `after` of a later read. */
  readonly token: string | null;
  /** How many rows match, of a query with `count`; else null. */
  readonly total: number | null;
  /** Of a query with `stale`, where the view has failed: since when its rows may be wrong, as RFC 3339; else null. */
  readonly stale: string | null;
  /** Of a query with `suggest` that found nothing: other words, which find something. */
  readonly suggestions: readonly string[];
}

export type Key = string | number | boolean | readonly (string | number | boolean)[];

/** `App` and `Name` say what rows of related views have, where a `select` embeds them. */
export class ViewClient<Row extends object, App = unknown, Name = unknown> {
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
  /** Of a `select` in PostgREST's grammar: what it has of columns and related rows is typed. */
  rows<const Select extends string>(
    query: RowsQuery<Row> & { readonly select: Select },
  ): Promise<Page<SelectedRow<App, Name, Select>>>;
  /** The same where the caller says what its rows have. */
  rows<Selected extends object>(query: RowsQuery<Row> & { readonly select: string }): Promise<Page<Selected>>;
  rows(query: RowsQuery<Row> = {}): Promise<Page<object>> {
    return this.#page(this.#path(), pageParameters(query), query);
  }

  async #page<Shown extends object>(
    path: string,
    parameters: readonly Parameter[],
    query: Pick<RowsQuery<Row>, "after" | "count" | "signal">,
  ): Promise<Page<Shown>> {
    const answer = await this.#transport.read(path, "views", {
      query: parameters,
      after: query.after,
      ...(query.count === undefined ? {} : { headers: { prefer: `count=${query.count}` } }),
      ...(query.signal ? { signal: query.signal } : {}),
    });
    const rows = await jsonOf(answer);
    if (!Array.isArray(rows)) throw new MillraceClientError("ANSWER_INVALID", "the answer is no list of rows");
    const next = nextCursor(answer.headers.get("link"));
    const total = /\/(\d+)$/.exec(answer.headers.get("content-range") ?? "")?.[1];
    return Object.assign(rows as Shown[], {
      next,
      token: answer.headers.get("millrace-token"),
      total: total === undefined ? null : Number(total),
      stale: answer.headers.get("millrace-stale"),
      suggestions: structuredTexts(answer.headers.get("millrace-suggestion") ?? ""),
    });
  }

  /** Undefined when there is no such row. A composite key is an array in the order of its columns, the key of a view of one row is `[]`. */
  async get(
    key: Key,
    options: {
      readonly after?: string;
      readonly asOf?: Date | string;
      readonly stale?: boolean;
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<Row | undefined> {
    const parts = Array.isArray(key) ? key : [key];
    if (parts.length === 0) return (await this.rows({ ...options, limit: 1 }))[0];
    const segment = parts.map((part) => encodeURIComponent(String(part))).join(",");
    try {
      // A key called like the feed's path differs from it by its spelling.
      const path = `${this.#path()}/${segment === "live" ? "%6Cive" : segment}`;
      const answer = await this.#transport.read(path, "views", {
        after: options.after,
        query: [
          ...(options.asOf === undefined ? [] : [asOfParameter(options.asOf)]),
          ...(options.stale ? [["stale", "ok"] as const] : []),
        ],
        ...(options.signal ? { signal: options.signal } : {}),
      });
      return (await jsonOf(answer)) as Row;
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

  /** Rows at a path and below it, in a view with the option `tree`. */
  below<Column extends keyof Row = keyof Row>(
    path: string,
    query: BelowQuery<Row, Column> = {},
  ): Promise<Page<Pick<Row, Column> & Found>> {
    return this.#tree(treeSegment(path), query);
  }

  /** Rows one level below a path. */
  children<Column extends keyof Row = keyof Row>(
    path: string,
    query: TreeQuery<Row, Column> = {},
  ): Promise<Page<Pick<Row, Column> & Found>> {
    return this.#tree(`${treeSegment(path)}/children`, query);
  }

  /** Rows above a path, the uppermost first. */
  ancestors<Column extends keyof Row = keyof Row>(
    path: string,
    query: TreeQuery<Row, Column> = {},
  ): Promise<Page<Pick<Row, Column> & Found>> {
    return this.#tree(`${treeSegment(path)}/ancestors`, query);
  }

  #tree<Shown extends object, Column extends keyof Row>(
    path: string,
    query: BelowQuery<Row, Column>,
  ): Promise<Page<Shown>> {
    return this.#page(`${this.#path()}/tree/${path}`, treeParameters(query), query);
  }

  async #graph<Answer>(kind: string, ends: [string, string][], query: EdgesQuery<Row>): Promise<Answer> {
    const answer = await this.#transport.read(`${this.#path()}/graph/${kind}`, "views", {
      query: [...ends, ...edgesParameters(query)],
      after: query.after,
      ...(query.signal ? { signal: query.signal } : {}),
    });
    return (await jsonOf(answer)) as Answer;
  }

  /** Of a `select` in PostgREST's grammar the caller says what its rows have. */
  live<Selected extends object = Record<string, unknown>>(
    options: LiveOptions<Row, Selected> & { readonly select: string },
  ): LiveRows<Selected>;
  /** The rows that match, kept as they are on the server until `close` or the signal. */
  live<Column extends keyof Row = keyof Row>(
    options?: LiveOptions<Row, Pick<Row, Column>> & { readonly select?: readonly Column[] },
  ): LiveRows<Pick<Row, Column>>;
  live(options: Omit<LiveOptions<Row>, "onUpdate"> = {}): unknown {
    const { select } = options;
    return new LiveRows<object>({
      transport: this.#transport,
      pace: this.#pace,
      path: `${this.#path()}/live`,
      query: [...conditionParameters(options), ...(select === undefined ? [] : [selectParameter(select)])],
      options,
    });
  }

  #path(): string {
    return `/v1/views/${encodeURIComponent(this.name)}`;
  }
}

/** A list of strings and display strings (RFC 9651). */
function structuredTexts(list: string): string[] {
  return [...list.matchAll(/(%?)"((?:[^"\\]|\\.)*)"/g)].map(([, display, text = ""]) => {
    return display ? decodeURIComponent(text) : text.replace(/\\(.)/g, "$1");
  });
}

function nextCursor(link: string | null): string | null {
  const match = link === null ? null : /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link);
  const query = match?.[1]?.split("?")[1];
  return query === undefined ? null : new URLSearchParams(query).get("cursor");
}

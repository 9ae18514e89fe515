/** Several reads of views in one snapshot. */
import { MillraceClientError } from "./client-error.ts";
import { type Found, pageParameters, type RowsQuery } from "./row-query.ts";
import type { SelectedRow } from "./selected-row.ts";
import { jsonOf, type Transport } from "./transport.ts";
import type { Key, Page } from "./view.ts";

/** A page of rows, as `view(name).rows(…)` reads it; what all reads share stands beside them. */
export type RowsRead<Name extends string, Row> = Omit<RowsQuery<Row>, "after" | "signal" | "count" | "stale"> & {
  readonly view: Name;
  readonly key?: undefined;
};

/** One row, as `view(name).get(…)` reads it. */
export interface RowRead<Name extends string> {
  readonly view: Name;
  readonly key: Key;
}

export type ReadOf<Views> = {
  readonly [Name in keyof Views & string]: RowsRead<Name, Views[Name]> | RowRead<Name>;
}[keyof Views & string];

/** Some columns as they are, when they are listed; of a `select` in PostgREST's grammar what the types of the app tell. */
type Selected<Row, Read, App> = Read extends { readonly select: infer Select extends string; readonly view: infer Name }
  ? SelectedRow<App, Name, Select>
  : Read extends { readonly select: readonly (infer Column)[] }
    ? Pick<Row, Column & keyof Row> & Found
    : Row & Found;

type ResultOf<Views, Read, App> = Read extends { readonly view: infer Name extends keyof Views }
  ? Read extends { readonly key: Key }
    ? Views[Name] | undefined
    : Page<Selected<Views[Name], Read, App>>
  : never;

export interface ManyReadsOptions {
  /** Asks for the `total` of every page. */
  readonly count?: "exact" | "planned" | "estimated";
  /** Waits until the views have what the token names; the client's own tokens are sent without it. */
  readonly after?: string;
  /** Takes views that failed as they were when they were last right; pages of them have `stale`. */
  readonly stale?: boolean;
  readonly signal?: AbortSignal;
}

export interface Snapshot<Views, Reads extends readonly unknown[], App = unknown> {
  /** What all results show: `after` of a later read. */
  readonly token: string;
  /** In the order of the reads. */
  readonly results: { readonly [Index in keyof Reads]: ResultOf<Views, Reads[Index], App> };
}

export async function readMany<Views, const Reads extends readonly ReadOf<Views>[], App>(
  transport: Transport,
  reads: Reads,
  { count, after, stale, signal }: ManyReadsOptions,
): Promise<Snapshot<Views, Reads, App>> {
  const answer = await transport.read("/v1/read", "views", {
    method: "POST",
    body: JSON.stringify({
      reads: reads.map((read) => bodyOf(read as RowsRead<string, object> | RowRead<string>)),
      ...(stale ? { stale: "ok" } : {}),
    }),
    headers: { "content-type": "application/json", ...(count === undefined ? {} : { prefer: `count=${count}` }) },
    after,
    ...(signal ? { signal } : {}),
  });
  const { token, results } = ((await jsonOf(answer)) ?? {}) as { token?: unknown; results?: unknown };
  if (typeof token !== "string" || !Array.isArray(results) || results.length !== reads.length) {
    throw new MillraceClientError("ANSWER_INVALID", "the answer has no result for each read");
  }
  return { token, results: results.map((result) => resultOf(result, token)) as never };
}

function bodyOf(read: RowsRead<string, object> | RowRead<string>): object {
  const { view, key } = read;
  if (key !== undefined) return { view, key };
  return { view, query: String(new URLSearchParams(pageParameters(read).map(([name, value]) => [name, value]))) };
}

function resultOf(result: unknown, token: string): unknown {
  const { rows, row, next, total, stale, suggestions } = (result ?? {}) as Readonly<Record<string, unknown>>;
  if (row !== undefined) return row ?? undefined;
  if (!Array.isArray(rows)) throw new MillraceClientError("ANSWER_INVALID", "the answer is no list of rows");
  return Object.assign(rows, {
    next: next ?? null,
    token,
    total: total ?? null,
    stale: stale ?? null,
    suggestions: suggestions ?? [],
  });
}

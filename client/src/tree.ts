/** What is asked of a view whose rows stand in a tree, as parameters. */
import { MillraceClientError } from "./client-error.ts";
import { type Parameter, pageParameters, type RowsQuery } from "./row-query.ts";

/** Rows come as the tree is walked, unless `order` says otherwise; `_tree` is that order, `_depth` how many labels a path has. */
export interface TreeQuery<Row, Column extends keyof Row = keyof Row> extends Omit<RowsQuery<Row, Column>, "asOf"> {
  readonly select?: readonly Column[];
  /** The column with the path, in a view with several trees. */
  readonly by?: keyof Row & string;
}

export interface BelowQuery<Row, Column extends keyof Row = keyof Row> extends TreeQuery<Row, Column> {
  /** So many levels below the path, 0 to 100; all of them when left out. */
  readonly depth?: number;
}

export function treeParameters<Row, Column extends keyof Row>(query: BelowQuery<Row, Column>): Parameter[] {
  const { by, depth, ...rows } = query;
  const own = Object.entries({ by, depth }).flatMap(([name, value]): Parameter[] => {
    return value === undefined ? [] : [[name, String(value)]];
  });
  return [...own, ...pageParameters(rows).map(asFilter)];
}

/** A column that is called like a parameter of a tree stands in double quotes. */
function asFilter([name, value]: Parameter): Parameter {
  return [name === "by" || name === "depth" ? `"${name}"` : name, value];
}

/** As a segment of an address, where these would be left out or mean another place. Throws `MillraceClientError`. */
export function treeSegment(path: string): string {
  if (!["", ".", ".."].includes(path)) return encodeURIComponent(path);
  throw new MillraceClientError("FILTER_INVALID", `${JSON.stringify(path)} is no path of labels`, {
    hint: 'Write labels with dots between; the uppermost rows are where: { path: { lquery: "*{1}" } }.',
  });
}

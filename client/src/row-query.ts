/** Conditions and pages as parameters in PostgREST's grammar. */

/** What a column is compared with; several operators must all hold. A bare value is `eq`, null is `is null`. */
export interface Comparison<Value> {
  readonly eq?: NonNullable<Value>;
  readonly neq?: NonNullable<Value>;
  readonly gt?: NonNullable<Value>;
  readonly gte?: NonNullable<Value>;
  readonly lt?: NonNullable<Value>;
  readonly lte?: NonNullable<Value>;
  readonly in?: readonly NonNullable<Value>[];
  /** `*` stands for any text. */
  readonly like?: string;
  readonly ilike?: string;
  readonly is?: "null" | "not_null" | "true" | "false" | "unknown";
}

export type Where<Row> = {
  readonly [Column in keyof Row]?: Extract<Row[Column], string | number | boolean | null> | Comparison<Row[Column]>;
};

export interface Conditions<Row> {
  readonly where?: Where<Row>;
  /** For what `where` cannot say: parameters in PostgREST's grammar, `{ or: "(status.eq.paid,total.gt.100)" }`. */
  readonly filter?: Readonly<Record<string, string>>;
}

export interface RowsQuery<Row, Column extends keyof Row = keyof Row> extends Conditions<Row> {
  readonly select?: readonly Column[];
  /** `"total.desc.nullslast"`, in this order; the key comes last by itself. */
  readonly order?: string | readonly string[];
  /** 100 unless said, at most 10,000. */
  readonly limit?: number;
  readonly offset?: number;
  /** `next` of the page before. */
  readonly cursor?: string;
  /** Waits until the view has what the token names; the client's own tokens are sent without it. */
  readonly after?: string;
  readonly signal?: AbortSignal;
}

type Parameter = readonly [string, string];

const operators = ["eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "is"] as const;

export function conditionParameters<Row>({ where = {}, filter = {} }: Conditions<Row>): Parameter[] {
  const parameters: Parameter[] = [];
  for (const [column, condition] of Object.entries(where)) {
    if (condition === undefined) continue;
    const name = columnName(column);
    if (condition === null) {
      parameters.push([name, "is.null"]);
    } else if (typeof condition !== "object") {
      parameters.push([name, `eq.${String(condition)}`]);
    } else {
      const comparison = condition as Comparison<unknown>;
      for (const operator of operators) {
        const value = comparison[operator];
        if (value !== undefined) parameters.push([name, `${operator}.${String(value)}`]);
      }
      if (comparison.in) parameters.push([name, `in.(${comparison.in.map((one) => quoted(String(one))).join(",")})`]);
    }
  }
  return [...parameters, ...Object.entries(filter)];
}

export function pageParameters<Row, Column extends keyof Row>(query: RowsQuery<Row, Column>): Parameter[] {
  const parameters = conditionParameters(query);
  if (query.select) parameters.push(["select", query.select.map((one) => columnName(String(one))).join(",")]);
  if (query.order !== undefined)
    parameters.push(["order", typeof query.order === "string" ? query.order : query.order.join(",")]);
  if (query.limit !== undefined) parameters.push(["limit", String(query.limit)]);
  if (query.offset !== undefined) parameters.push(["offset", String(query.offset)]);
  if (query.cursor !== undefined) parameters.push(["cursor", query.cursor]);
  return parameters;
}

/** Names that are parameters, or that the grammar would cut, stand in double quotes. */
function columnName(name: string): string {
  const reserved = ["select", "order", "limit", "offset", "cursor", "after", "and", "or", "q", "near", "within"];
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !reserved.includes(name) ? name : quoted(name);
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

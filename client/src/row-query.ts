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
  /** A regular expression of PostgreSQL; `imatch` passes over upper and lower case. */
  readonly match?: string;
  readonly imatch?: string;
  readonly is?: "null" | "not_null" | "true" | "false" | "unknown";
  /** As `neq`, but null is a value like others. */
  readonly isdistinct?: NonNullable<Value>;
  /** Full text search: the query of `to_tsquery`, plain words, a phrase, or as search engines take it. */
  readonly fts?: TextSearch;
  readonly plfts?: TextSearch;
  readonly phfts?: TextSearch;
  readonly wfts?: TextSearch;
  /** Contains, is contained in: an array of the column's elements, an object of json, or PostgreSQL's text of a value. */
  readonly cs?: Contained;
  readonly cd?: Contained;
  /** Has an element or a point in common. */
  readonly ov?: Contained;
  /** Ranges: strictly left or right of, not right or left of, adjacent to. */
  readonly sl?: string;
  readonly sr?: string;
  readonly nxr?: string;
  readonly nxl?: string;
  readonly adj?: string;
  /** An expression of PostgreSQL's jsonpath finds something in the column (`$.items[*] ? (@.price > 10)`), or is true of it (`$.total > 100`). */
  readonly jsonpath?: string;
  readonly jsonmatch?: string;
  /** Patterns of PostgreSQL's ltree, in a view with the option `tree`; there `cd` and `cs` are below and above a path. */
  readonly lquery?: string;
  readonly ltxtquery?: string;
  /** Resembles a text, in a view with the option `fuzzy`: 30 % unless said, and for a part of the text 60 %. */
  readonly similar?: Similar;
  readonly wordSimilar?: Similar;
  /** Must not hold, each of them. */
  readonly not?: Omit<Comparison<Value>, "not">;
  /** Must hold for one of the values, or for all of them. */
  readonly any?: Quantified<Value>;
  readonly all?: Quantified<Value>;
}

export type TextSearch = string | { readonly query: string; readonly config: string };

export type Similar = string | { readonly text: string /** From 0.1 to 1. */; readonly threshold: number };

export type Contained = string | readonly (string | number | boolean)[] | { readonly [key: string]: unknown };

export interface Quantified<Value> {
  readonly eq?: readonly NonNullable<Value>[];
  readonly gt?: readonly NonNullable<Value>[];
  readonly gte?: readonly NonNullable<Value>[];
  readonly lt?: readonly NonNullable<Value>[];
  readonly lte?: readonly NonNullable<Value>[];
  readonly like?: readonly string[];
  readonly ilike?: readonly string[];
  readonly match?: readonly string[];
  readonly imatch?: readonly string[];
}

export type Where<Row> = {
  readonly [Column in keyof Row]?: Extract<Row[Column], string | number | boolean | null> | Comparison<Row[Column]>;
};

export interface Conditions<Row> {
  readonly where?: Where<Row>;
  /** For what `where` cannot say: parameters in PostgREST's grammar, `{ or: "(status.eq.paid,total.gt.100)" }`. */
  readonly filter?: Readonly<Record<string, string>>;
  /** Words, a "phrase", `or`, `-not`, the beginning of a last word with `*`: in a view with the option `search`. */
  readonly search?: string;
  /** Degrees, in a view with the option `geo`: the nearest first, each with its `_distance`. A live view needs `within` too. */
  readonly near?: { readonly lat: number; readonly lon: number };
  /** How far from `near`, with its unit: `5km`, `250m`, `2mi`, `1nmi`. */
  readonly within?: string;
  /** West, south, east, north in degrees; west is greater than east in a box across the antimeridian. */
  readonly bbox?: readonly [west: number, south: number, east: number, north: number];
  /** In a polygon or several, as GeoJSON or as well-known text: `"POLYGON((15 47, 16 47, 16 48, 15 47))"`. */
  readonly area?: string | { readonly type: "Polygon" | "MultiPolygon"; readonly coordinates: readonly unknown[] };
  /** In a tile of a web map. */
  readonly tile?: { readonly zoom: number; readonly x: number; readonly y: number };
}

/** What searching adds to a row. */
export interface Found {
  /** Metres from `near`. */
  readonly _distance?: number;
  /** Of `search`, when it is selected. */
  readonly _rank?: number;
  /** Of `similar`, when it is selected. */
  readonly _similarity?: number;
  /** Of `geohash`; null where the row has no place. */
  readonly _geohash?: string | null;
  /** Of `zoom`, as `zoom/x/y`. */
  readonly _tile?: string | null;
  /** Of a tree: how many labels the path has. */
  readonly _depth?: number;
  /** HTML by column, with `<mark>` around the words of `search`. */
  readonly _highlight?: Readonly<Record<string, string>>;
}

export interface RowsQuery<Row, Column extends keyof Row = keyof Row> extends Conditions<Row> {
  /** Columns, or a text in PostgREST's grammar: `"id,day:placed_at::date,data->>city"`. */
  readonly select?: readonly Column[] | string;
  /** `"total.desc.nullslast"`, in this order; the key comes last by itself. */
  readonly order?: string | readonly string[];
  /** 100 unless said, at most 10,000. */
  readonly limit?: number;
  readonly offset?: number;
  /** Groups by time, in a view with the option `series`: `"15m"`, `"1d"`, `"1mo"`. `select` says what is computed: `"sensor,value.avg()"`. */
  readonly bucket?: string;
  /** What stands in buckets without rows, which else are left out. */
  readonly fill?: "null" | "0" | "previous" | "linear";
  /** Whose days and months are meant; UTC unless said. */
  readonly timeZone?: string;
  /** Columns in which the words of `search` are marked, as `_highlight`. */
  readonly highlight?: readonly string[];
  /** Where `search` finds nothing, asks for other words: the page's `suggestions`. */
  readonly suggest?: boolean;
  /** Adds the geohash of the row's place, of so many characters: 1 to 12. */
  readonly geohash?: number;
  /** Adds the tile of a web map that has the row's place: 0 to 24. */
  readonly zoom?: number;
  /** `next` of the page before. */
  readonly cursor?: string;
  /** Asks for the page's `total`; `estimated` is exact up to 10,000 and the planner's estimate above. */
  readonly count?: "exact" | "planned" | "estimated";
  /** Waits until the view has what the token names, or with `now` what the sources have; the client's own tokens are sent without it. */
  readonly after?: string;
  /** Takes the rows that were valid then, of a view with the option `history`: a `Date`, or a moment with its offset from UTC. */
  readonly asOf?: Date | string;
  /** Takes the rows of a view that failed as they were when they were last right; the page's `stale` says so. */
  readonly stale?: boolean;
  readonly signal?: AbortSignal;
}

export type Parameter = readonly [string, string];

const operators = [
  ...(["eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch", "is", "isdistinct"] as const),
  ...(["sl", "sr", "nxr", "nxl", "adj"] as const),
  ...(["jsonpath", "jsonmatch", "lquery", "ltxtquery"] as const),
];

export function conditionParameters<Row>(conditions: Conditions<Row>): Parameter[] {
  const { where = {}, filter = {} } = conditions;
  const parameters = findParameters(conditions);
  for (const [column, condition] of Object.entries(where)) {
    if (condition === undefined) continue;
    const name = columnName(column);
    if (condition === null) {
      parameters.push([name, "is.null"]);
    } else if (typeof condition !== "object") {
      parameters.push([name, `eq.${String(condition)}`]);
    } else {
      for (const text of comparisonTexts(condition as Comparison<unknown>)) parameters.push([name, text]);
    }
  }
  return [...parameters, ...Object.entries(filter)];
}

function findParameters<Row>({ search, near, within, bbox, area, tile }: Conditions<Row>): Parameter[] {
  const parameters: Parameter[] = [];
  if (search !== undefined) parameters.push(["q", search]);
  if (near) parameters.push(["near", `${degrees(near.lat)},${degrees(near.lon)}`]);
  if (within !== undefined) parameters.push(["within", within]);
  if (bbox) parameters.push(["bbox", bbox.map(degrees).join(",")]);
  if (area !== undefined) parameters.push(["area", typeof area === "string" ? area : JSON.stringify(area)]);
  if (tile) parameters.push(["tile", `${tile.zoom}/${tile.x}/${tile.y}`]);
  return parameters;
}

/** To a tenth of a millimetre, never with an exponent. */
function degrees(value: number): string {
  return value.toFixed(9).replace(/\.?0+$/, "");
}

/** `gte.5`, one text for each operator. */
function comparisonTexts(comparison: Comparison<unknown>): string[] {
  const texts: string[] = [];
  for (const operator of operators) {
    const value = comparison[operator];
    if (value !== undefined) texts.push(`${operator}.${String(value)}`);
  }
  if (comparison.in) texts.push(`in.(${list(comparison.in)})`);
  for (const operator of ["fts", "plfts", "phfts", "wfts"] as const) {
    const value = comparison[operator];
    if (typeof value === "string") texts.push(`${operator}.${value}`);
    else if (value) texts.push(`${operator}(${value.config}).${value.query}`);
  }
  for (const [name, operator] of [
    ["similar", "similar"],
    ["wordSimilar", "word_similar"],
  ] as const) {
    const value = comparison[name];
    if (typeof value === "string") texts.push(`${operator}.${value}`);
    else if (value) texts.push(`${operator}(${value.threshold}).${value.text}`);
  }
  for (const operator of ["cs", "cd", "ov"] as const) {
    const value = comparison[operator];
    if (value !== undefined) texts.push(`${operator}.${containedText(value)}`);
  }
  for (const quantifier of ["any", "all"] as const) {
    for (const [operator, values] of Object.entries({ ...comparison[quantifier] })) {
      if (values) texts.push(`${operator}(${quantifier}).{${list(values)}}`);
    }
  }
  if (comparison.not) texts.push(...comparisonTexts(comparison.not).map((text) => `not.${text}`));
  return texts;
}

function containedText(value: Contained): string {
  if (typeof value === "string") return value;
  return Array.isArray(value) ? `{${list(value)}}` : JSON.stringify(value);
}

function list(values: readonly unknown[]): string {
  return values.map((one) => quoted(String(one))).join(",");
}

export function pageParameters<Row, Column extends keyof Row>(query: RowsQuery<Row, Column>): Parameter[] {
  const parameters = conditionParameters(query);
  if (query.select !== undefined) parameters.push(selectParameter(query.select));
  if (query.order !== undefined)
    parameters.push(["order", typeof query.order === "string" ? query.order : query.order.join(",")]);
  if (query.limit !== undefined) parameters.push(["limit", String(query.limit)]);
  if (query.offset !== undefined) parameters.push(["offset", String(query.offset)]);
  if (query.cursor !== undefined) parameters.push(["cursor", query.cursor]);
  if (query.asOf !== undefined) parameters.push(asOfParameter(query.asOf));
  if (query.stale) parameters.push(["stale", "ok"]);
  if (query.highlight) parameters.push(["highlight", query.highlight.join(",")]);
  if (query.suggest) parameters.push(["suggest", "true"]);
  if (query.geohash !== undefined) parameters.push(["geohash", String(query.geohash)]);
  if (query.zoom !== undefined) parameters.push(["zoom", String(query.zoom)]);
  if (query.bucket !== undefined) parameters.push(["bucket", query.bucket]);
  if (query.fill !== undefined) parameters.push(["fill", query.fill]);
  if (query.timeZone !== undefined) parameters.push(["tz", query.timeZone]);
  return parameters;
}

export function asOfParameter(asOf: Date | string): Parameter {
  return ["as_of", typeof asOf === "string" ? asOf : asOf.toISOString()];
}

export function selectParameter(select: string | readonly PropertyKey[]): Parameter {
  return ["select", typeof select === "string" ? select : select.map((one) => columnName(String(one))).join(",")];
}

const places = ["near", "within", "bbox", "area", "tile", "geohash", "zoom"];
const searches = ["q", "highlight", "suggest", ...places, "bucket", "fill", "tz"];

/** Names that are parameters, or that the grammar would cut, stand in double quotes. */
function columnName(name: string): string {
  const reserved = [
    "select",
    "order",
    "limit",
    "offset",
    "cursor",
    "after",
    "as_of",
    "stale",
    "and",
    "or",
    ...searches,
  ];
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !reserved.includes(name) ? name : quoted(name);
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

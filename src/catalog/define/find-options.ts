/** What a view is found by besides its columns: the options `search`, `fuzzy`, `geo` and `tree` of `view(…)`. */
import { MillraceError } from "../../base/errors.ts";
import { refuseUnknown } from "./names.ts";

/** In PostgreSQL's meaning: A counts most, D least. */
export type SearchWeight = "A" | "B" | "C" | "D";

export type SearchColumn = string | { readonly column: string; readonly weight?: SearchWeight };

export type SearchOption =
  | readonly SearchColumn[]
  | {
      readonly columns: readonly SearchColumn[];
      readonly language?: string;
      /** Lists of words of which each finds the others too: `[["tv", "television"]]`. */
      readonly synonyms?: readonly (readonly string[])[];
    };

export interface FindOptionsInput {
  /** Full text search by `?q=`: columns with their weights (A where none is said), and the language whose words are reduced to stems. */
  readonly search?: SearchOption;
  /** Columns that are found by what resembles a text: `?name=similar.smith`. */
  readonly fuzzy?: readonly string[];
  /** Columns with degrees of latitude and longitude (WGS 84), for `?near=`, `?within=` and `?bbox=`. */
  readonly geo?: { readonly lat: string; readonly lon: string };
  /** Columns with paths of labels, `Top.Science.Astronomy`: for what is below and above a node (`/v1/views/{view}/tree/…`), and for patterns. */
  readonly tree?: string | readonly string[];
}

export interface FindOptions {
  readonly search: {
    readonly columns: readonly { readonly column: string; readonly weight: SearchWeight }[];
    readonly language: string;
    /** Absent when there are none. */
    readonly synonyms?: readonly (readonly string[])[];
  } | null;
  readonly fuzzy: readonly string[];
  readonly geo: { readonly lat: string; readonly lon: string } | null;
  /** Absent when there are none. */
  readonly tree?: readonly string[];
}

/** Names of these options, for messages. */
export const findOptionNames = ["search", "fuzzy", "geo", "tree"] as const;

const columnsMax = 32;
const weights: readonly unknown[] = ["A", "B", "C", "D"];

/** Text search configurations that PostgreSQL 18 comes with. `simple` reduces no words. */
export const searchLanguages = [
  ...["simple", "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "estonian", "finnish"],
  ...["french", "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali"],
  ...["norwegian", "portuguese", "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish"],
  "yiddish",
];

/** Null when none of them is given. Throws `DEFINITION_INVALID`; whether the columns exist is the compiler's question. */
export function findOptions(view: string, options: FindOptionsInput): FindOptions | null {
  const { search, fuzzy, geo, tree } = options;
  if ([search, fuzzy, geo, tree].every((one) => one === undefined)) return null;
  return Object.freeze({
    search: search === undefined ? null : searchOption(view, search),
    fuzzy: fuzzy === undefined ? [] : columnNames(view, "fuzzy", fuzzy),
    geo: geo === undefined ? null : geoOption(view, geo),
    ...(tree === undefined ? {} : { tree: columnNames(view, "tree", typeof tree === "string" ? [tree] : tree) }),
  });
}

function searchOption(view: string, search: SearchOption): NonNullable<FindOptions["search"]> {
  const listed = (Array.isArray(search) ? { columns: search } : search) as Exclude<SearchOption, readonly unknown[]>;
  if (listed === null || typeof listed !== "object") throw invalid(view, "search", searchForm);
  refuseUnknown(`search of view "${view}"`, listed, ["columns", "language", "synonyms"]);
  const { columns, language = "simple", synonyms } = listed;
  if (!Array.isArray(columns)) throw invalid(view, "search", searchForm);
  if (!searchLanguages.includes(language)) {
    throw new MillraceError(
      "DEFINITION_INVALID",
      `view "${view}": search has the language ${JSON.stringify(language)}, which is none`,
      { hint: `Languages are ${searchLanguages.join(", ")}.` },
    );
  }
  const weighted = columns.map((one: SearchColumn) => {
    if (typeof one !== "object" || one === null) return { column: one, weight: "A" as const };
    refuseUnknown(`a column in search of view "${view}"`, one, ["column", "weight"]);
    const { column, weight = "A" } = one;
    if (!weights.includes(weight)) throw invalid(view, "search", "a weight is A, B, C or D");
    return { column, weight };
  });
  columnNames(
    view,
    "search",
    weighted.map((one) => one.column),
  );
  return { columns: weighted, language, ...(synonyms === undefined ? {} : { synonyms: synonymLists(view, synonyms) }) };
}

const synonymsMax = 200;

function synonymLists(view: string, lists: readonly (readonly string[])[]): readonly (readonly string[])[] {
  const why = 'synonyms are lists of words: [["tv", "television"], ["sofa", "couch"]]';
  if (!Array.isArray(lists) || !lists.every((list) => Array.isArray(list) && list.length > 1)) {
    throw invalid(view, "search", why);
  }
  const words: unknown[] = lists.flat();
  const wrong = words.find((word) => typeof word !== "string" || !/^[\p{L}\p{N}]{1,100}$/u.test(word));
  if (wrong !== undefined) throw invalid(view, "search", `${why}, and ${JSON.stringify(wrong)} is no word`);
  const small = words.map((word) => String(word).toLowerCase());
  const twice = small.find((word, i) => small.indexOf(word) !== i);
  if (twice !== undefined) throw invalid(view, "search", `synonyms have ${JSON.stringify(twice)} twice`);
  if (words.length > synonymsMax) throw invalid(view, "search", `synonyms have more than ${synonymsMax} words`);
  return lists.map((list) => [...list]);
}

const searchForm =
  'it takes columns: ["title", { column: "body", weight: "C" }], or { columns: […], language: "english" }';

function geoOption(view: string, geo: { readonly lat: string; readonly lon: string }): { lat: string; lon: string } {
  if (geo === null || typeof geo !== "object") throw invalid(view, "geo", 'it takes { lat: "lat", lon: "lon" }');
  refuseUnknown(`geo of view "${view}"`, geo, ["lat", "lon"]);
  columnNames(view, "geo", [geo.lat, geo.lon]);
  return { lat: geo.lat, lon: geo.lon };
}

function columnNames(view: string, option: string, names: readonly unknown[]): readonly string[] {
  if (!Array.isArray(names) || names.length === 0) throw invalid(view, option, "it names no column");
  if (names.length > columnsMax) throw invalid(view, option, `it names more than ${columnsMax} columns`);
  if (!names.every((name) => typeof name === "string" && name !== "")) {
    throw invalid(view, option, "a column is named by a text");
  }
  if (new Set(names).size !== names.length) throw invalid(view, option, "it names a column twice");
  return [...names];
}

function invalid(view: string, option: string, why: string): MillraceError {
  return new MillraceError("DEFINITION_INVALID", `view "${view}": ${option} cannot be used: ${why}`);
}

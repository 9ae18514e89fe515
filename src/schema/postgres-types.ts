/**
 * What becomes of a source's column types in the store: types that every PostgreSQL has stay what they are, domains
 * become what they are made of, enums become text, and everything that is not known is carried as the server's text. An
 * array stays an array, also of what is carried as text.
 */

/** A row of the source's `pg_type`. */
export interface PostgresType {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly type: "base" | "composite" | "domain" | "enum" | "pseudo" | "range" | "multirange";
  /** The type of the elements of a true array whose elements a comma parts (not of int2vector and its like, nor of box); 0 for others. */
  readonly element: number;
  /** Of a domain. */
  readonly base: number;
  readonly baseModifier: number;
  readonly notNull: boolean;
}

export interface StoreType {
  /** Null: `text`. */
  readonly print: { readonly oid: number; readonly modifier: number; readonly array: boolean } | null;
  /** `text[]` when `print` is null. */
  readonly textArray: boolean;
  readonly carriedAsText: boolean;
  /** A domain somewhere in it refuses NULL. */
  readonly notNull: boolean;
}

/** Types with an equality and a text form that is the same in every server. */
const kept = new Set(
  (
    "bool bytea char name int8 int2 int4 text oid json jsonb float4 float8 macaddr macaddr8 inet cidr bpchar varchar " +
    "date time timestamp timestamptz timetz interval bit varbit numeric uuid tsvector tsquery pg_lsn int4range " +
    "int8range numrange tsrange tstzrange daterange int4multirange int8multirange nummultirange tsmultirange " +
    "tstzmultirange datemultirange"
  ).split(" "),
);

/** `types` holds everything that can be reached from the column's type. */
export function storeTypeOf(oid: number, modifier: number, types: ReadonlyMap<number, PostgresType>): StoreType {
  let notNull = false;
  let array = false;
  let at = types.get(oid);
  let atModifier = modifier;
  while (at !== undefined) {
    if (at.type === "domain") {
      notNull ||= !array && at.notNull;
      atModifier = at.baseModifier;
      at = types.get(at.base);
    } else if (at.element !== 0 && !array) {
      array = true;
      at = types.get(at.element);
    } else {
      break;
    }
  }
  if (at?.type === "enum") return { print: null, textArray: array, carriedAsText: false, notNull };
  if (at === undefined || at.schema !== "pg_catalog" || !kept.has(at.name)) {
    return { print: null, textArray: array, carriedAsText: true, notNull };
  }
  return { print: { oid: at.oid, modifier: atModifier, array }, textArray: false, carriedAsText: false, notNull };
}

/** From `format_type` of what `print` asked for. */
export function printStoreType(type: StoreType, printed: string): string {
  if (type.print === null) return type.textArray ? "text[]" : "text";
  return type.print.array ? `${printed}[]` : printed;
}

/**
 * What reading needs to know about a column's type, from PostgreSQL's name of it: how a value from outside is cast to
 * be compared with the column, and whether it is text. Nothing is looked up in the store.
 */

/** `numeric(12,2)` is `numeric`, `timestamp(3) with time zone` is `timestamp with time zone`; an array keeps its `[]`. */
export function baseType(type: string): string {
  const base = type.replaceAll(/\s*\(\s*-?\d+\s*(?:,\s*-?\d+\s*)?\)/g, "");
  return base.startsWith("interval ") ? base.replace(/^interval [a-z ]+/, "interval") : base;
}

/**
 * The type to which a value is cast before it is compared with a column. Never with a modifier: `varchar(3)` would cut
 * the value and `numeric(12,2)` round it. Integers are widened, so that a number beyond the column's range compares; a
 * real is not, for as a double precision `0.1` is another number.
 */
export function comparisonType(type: string): string {
  const base = baseType(type);
  switch (base) {
    case "smallint":
    case "integer":
      return "bigint";
    case "character varying":
      return "text";
    case "character":
      return "bpchar";
    case "bit":
      return "bit varying";
    default:
      return base;
  }
}

export function isTextType(type: string): boolean {
  return ["text", "character varying", "character", "name", "citext"].includes(baseType(type));
}

export function isBooleanType(type: string): boolean {
  return type === "boolean";
}

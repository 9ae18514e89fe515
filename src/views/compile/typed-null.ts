/** NULL in the place of an expression, with its type. */
import { type Bound, compose, plainColumn } from "./bound.ts";
import { unknownType } from "./sql-type.ts";

/** Null when the type is not known here. */
export function typedNull(bound: Bound): Bound | null {
  const written = writtenType(bound);
  return written === null ? null : { ...compose([`null::${written}`], { type: bound.type }), key: bound.key };
}

export function isTypedNull({ parts: [part, ...more] }: Bound): boolean {
  return more.length === 0 && typeof part === "string" && part.startsWith("null::");
}

/** The type as SQL writes it. */
function writtenType(bound: Bound): string | null {
  const plain = plainColumn(bound);
  if (plain !== null) {
    const column = plain.occurrence.mirror.shape.columns.find((one) => one.name === plain.column);
    return column === undefined || column.storeType === unknownType.name ? null : column.storeType;
  }
  const { name, modifier, array } = bound.type;
  if (name === "?" || name === "literal") return null;
  return `pg_catalog.${name}${modifier === null ? "" : `(${modifier})`}${array ? "[]" : ""}`;
}

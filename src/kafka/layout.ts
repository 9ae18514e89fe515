/** What one version of a struct has on the wire: computed once, and what decoders and encoders are made from. */
import type { Field, StructField } from "./fields.ts";

export interface FieldLayout {
  readonly name: string;
  readonly field: Field;
  readonly nullable: boolean;
}

export interface TaggedFieldLayout extends FieldLayout {
  readonly tag: number;
}

export interface StructLayout {
  readonly version: number;
  /** Compact lengths, and tagged fields at the end of each struct. */
  readonly flexible: boolean;
  readonly fields: readonly FieldLayout[];
  /** By number, ascending. */
  readonly tagged: readonly TaggedFieldLayout[];
}

export function structLayout(struct: StructField, version: number, flexible: boolean): StructLayout {
  const present = Object.entries(struct.fields)
    .filter(([, { from, to }]) => version >= from && version <= to)
    .map(([name, field]) => ({ name, field, nullable: version >= field.nullableFrom }));
  const fields = present.filter(({ field }) => field.tag === null);
  const tagged = present.flatMap((layout) => (layout.field.tag === null ? [] : [{ ...layout, tag: layout.field.tag }]));
  return { version, flexible, fields, tagged: flexible ? tagged.sort((a, b) => a.tag - b.tag) : [] };
}

const scalarBytes = { bool: 1, int8: 1, int16: 2, int32: 4, int64: 8, uint16: 2, uint32: 4, float64: 8, uuid: 16 };

/** The least that a value takes; what a count of elements is held against. */
export function leastBytes(field: Field, nullable: boolean, version: number, flexible: boolean): number {
  switch (field.kind) {
    case "string":
      return flexible ? 1 : 2;
    case "bytes":
    case "records":
    case "array":
      return flexible ? 1 : 4;
    case "struct": {
      if (nullable) return 1;
      const { fields } = structLayout(field, version, flexible);
      const sum = fields.reduce((bytes, part) => bytes + leastBytes(part.field, part.nullable, version, flexible), 0);
      return sum + (flexible ? 1 : 0);
    }
    default:
      return scalarBytes[field.kind];
  }
}

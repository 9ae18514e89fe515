/** A column of a view, or a place inside one (`data->a->>b`), as a typed expression. */
import { MillraceError } from "../base/errors.ts";
import { quote } from "../catalog/definitions.ts";
import { type ColumnsOfView, columnOf } from "./row-column.ts";
import type { Parameters } from "./row-filter.ts";
import { hasParts } from "./row-operators.ts";
import { baseType } from "./row-type.ts";
import type { Field, ViewColumn } from "./view-info.ts";

/** `name` is as its user wrote it, `type` is that of the expression. */
export interface FieldExpression extends ViewColumn {
  /** The path travels as a parameter of the statement. */
  readonly sql: (alias: string, parameters: Parameters) => string;
}

/**
 * A path into anything but json goes through its JSON form. A step is a key of an object or an index of an array,
 * whichever it meets. `exact` keeps the texts of json, which cannot be compared.
 * Throws `COLUMN_UNKNOWN`, `PATH_INVALID`.
 */
export function fieldOf(view: ColumnsOfView, field: Field, form: "compared" | "exact" = "compared"): FieldExpression {
  const column = columnOf(view, field.column);
  const { path } = field;
  if (path === undefined) return { ...column, sql: (alias) => `${alias}.${quote(column.name)}` };
  const base = baseType(column.type);
  if (!hasParts(column.type)) {
    throw new MillraceError("PATH_INVALID", `column "${column.name}" is ${column.type}: -> leads into nothing`, {
      hint: "A path goes into json, jsonb, arrays and composites.",
      details: { column: column.name, type: column.type, operator: "->" },
    });
  }
  if (path.steps.some((step) => step.includes("\0"))) {
    throw new MillraceError("PATH_INVALID", `the path into column "${column.name}" contains a NUL character`);
  }
  const cast = base === "json" && !path.text && form === "compared" ? "::jsonb" : "";
  return {
    name: fieldName(field),
    type: path.text ? "text" : base === "json" && form === "exact" ? "json" : "jsonb",
    nullable: true,
    sql: (alias, parameters) => {
      const value = `${alias}.${quote(column.name)}`;
      const document = base === "json" || base === "jsonb" ? value : `to_jsonb(${value})`;
      return `(${document} ${path.text ? "#>>" : "#>"} ${parameters.addPath(path.steps)})${cast}`;
    },
  };
}

/** `data->items->0->>sku` */
export function fieldName({ column, path }: Field): string {
  if (path === undefined) return column;
  return path.steps.reduce((name, step, i) => {
    return `${name}${path.text && i === path.steps.length - 1 ? "->>" : "->"}${step}`;
  }, column);
}

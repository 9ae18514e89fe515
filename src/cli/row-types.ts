/**
 * `millrace-env.d.ts`: the row types of captured tables and views, as HTTP answers them. int2, int4, floats and booleans
 * are native, json is what it is, everything else is text.
 */
import type { SchemaFile } from "../schema/table-shape.ts";

interface RowColumn {
  readonly name: string;
  readonly type: string;
  readonly nullable: boolean;
}

const head = `// Written by \`millrace dev\` and \`millrace types\` from millrace-schema.json: do not edit, but commit it.

`;

const floatType = `/** Not a number and the infinities, which JSON lacks, are texts. */
export type Float = number | "NaN" | "Infinity" | "-Infinity";

`;

export function rowTypes({ tables, views }: SchemaFile): string {
  const tableTypes = tables.map(({ topic, columns }) => {
    return member(
      topic,
      columns.map(({ name, storeType, nullable }) => ({ name, type: storeType, nullable })),
    );
  });
  const viewTypes = views.map(({ name, columns }) => member(name, columns));
  const body = [
    interfaceOf("Rows of captured tables, by topic.", "Tables", tableTypes),
    interfaceOf("Rows of views, by name.", "Views", viewTypes),
  ].join("\n");
  return `${head}${/\bFloat\b/.test(body) ? floatType : ""}${body}`;
}

function interfaceOf(about: string, name: string, members: readonly string[]): string {
  return `/** ${about} */\nexport interface ${name} {\n${[...members].sort().join("")}}\n`;
}

function member(name: string, columns: readonly RowColumn[]): string {
  const lines = columns.map((column) => {
    return `    readonly ${propertyName(column.name)}: ${valueType(column.type)}${column.nullable ? " | null" : ""};\n`;
  });
  return `  readonly ${propertyName(name)}: {\n${lines.join("")}  };\n`;
}

/** From PostgreSQL's name of a type, with or without its modifier. */
export function valueType(type: string): string {
  const base = type
    .replaceAll(/\s*\([^)]*\)/g, "")
    .trim()
    .toLowerCase();
  if (base.endsWith("[]")) return `readonly (${valueType(base.slice(0, -2))} | null)[]`;
  switch (base) {
    case "smallint":
    case "integer":
    case "int2":
    case "int4":
    case "oid":
      return "number";
    case "real":
    case "double precision":
    case "float4":
    case "float8":
      return "Float";
    case "boolean":
    case "bool":
      return "boolean";
    case "json":
    case "jsonb":
      return "unknown";
    default:
      return "string";
  }
}

function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

/**
 * `millrace-env.d.ts`: the row types of captured tables, topics and views, as HTTP answers them. int2, int4, floats and booleans
 * are native, json is what it is, everything else is text.
 */
import type { ViewDefinition } from "../catalog/definitions.ts";
import type { ColumnShape, SchemaFile, TableShape } from "../schema/table-shape.ts";
import { relationsOf } from "../views/row-relations.ts";

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

/** `topics` are those that views may read, and `referring` the views: what the definitions say and the file does not. */
export function rowTypes(
  { tables, views }: SchemaFile,
  topics: readonly TableShape[],
  referring: readonly Pick<ViewDefinition, "name" | "references">[] = [],
): string {
  const tableTypes = [
    ...tables.map(({ topic, columns }) => member(topic, columns.map(rowColumn))),
    ...topics.map(({ source, topic, columns }) => member(`${source}.${topic}`, columns.map(rowColumn))),
  ];
  const viewTypes = views.map(({ name, columns }) => member(name, columns));
  const body = [
    interfaceOf("Rows of captured tables, by topic, and of topics, by what views call them.", "Tables", tableTypes),
    interfaceOf("Rows of views, by name.", "Views", viewTypes),
    ...relationTypes(referring),
  ].join("\n");
  return `${head}${/\bFloat\b/.test(body) ? floatType : ""}${body}`;
}

/** Nothing where no view refers to another one. */
function relationTypes(views: readonly Pick<ViewDefinition, "name" | "references">[]): string[] {
  const members = views.flatMap(({ name }) => {
    const relations = relationsOf(name, views);
    // One that is there in two ways cannot be embedded by its name.
    const single = relations.filter((one) => relations.filter((other) => other.name === one.name).length === 1);
    const lines = single.map(({ name: as, view, many }) => {
      return `    readonly ${propertyName(as)}: { readonly view: ${JSON.stringify(view)}; readonly many: ${many} };\n`;
    });
    return lines.length === 0 ? [] : [`  readonly ${propertyName(name)}: {\n${lines.sort().join("")}  };\n`];
  });
  const about = "Views whose rows belong to those of a view, as select names them: one row, or many.";
  return members.length === 0 ? [] : [interfaceOf(about, "Relations", members)];
}

function rowColumn({ name, storeType: type, nullable }: ColumnShape): RowColumn {
  return { name, type, nullable };
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

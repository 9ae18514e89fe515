/** The files that `init` writes, as text, from what is in the database. Pure. */
import type { CatalogueColumn, CatalogueTable } from "../capture/catalogue.ts";
import { quote } from "../catalog/definitions.ts";
import { hasKey, nameOf } from "./source-look.ts";

export interface InitPlan {
  /** Of the source: a small name made from the database's. */
  readonly name: string;
  /** The name in `.env`. */
  readonly variable: string;
  readonly captured: readonly CatalogueTable[];
  /** Left out for now, with the reason. */
  readonly left: readonly { readonly table: CatalogueTable; readonly reason: string }[];
  /** Null when no table has a primary key. */
  readonly sample: CatalogueTable | null;
}

/** So many tables are captured at first; the rest are listed. */
const tablesMax = 20;
const sampleColumnsMax = 6;
const takenNames = ["views", "millrace", "public", "app"];
/** A table called like a property of a source is not reached as `source.table`. */
const properties = ["kind", "type", "name", "url", "tables", "keepSlot"];
/** Words that cannot name a constant; sources named so get a number. */
const reserved =
  /^(await|break|case|catch|class|const|continue|debugger|default|delete|do|else|enum|export|extends|false|finally|for|function|if|implements|import|in|instanceof|interface|let|new|null|package|postgres|private|protected|return|sql|static|super|switch|this|throw|true|try|typeof|var|view|void|while|with|yield)$/;

export function planInit(database: string, tables: readonly CatalogueTable[]): InitPlan {
  const small = database
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]+/g, "_")
    .replaceAll(/^[^a-z]+|_+$/g, "")
    .slice(0, 40);
  const taken = small === "" || takenNames.includes(small) || reserved.test(small);
  const name = taken ? `${small || "source"}_db` : small;
  const capturable = tables.filter((table) => hasKey(table) && table.readable);
  const captured = capturable.slice(0, tablesMax);
  const left = tables.filter((table) => !captured.includes(table)).map((table) => ({ table, reason: reasonOf(table) }));
  const keyed = captured.filter(
    (table) => keyOf(table).length > 0 && table.columns.length > 1 && !properties.includes(nameOf(table)),
  );
  return { name, variable: `${name.toUpperCase()}_URL`, captured, left, sample: keyed[0] ?? null };
}

function reasonOf(table: CatalogueTable): string {
  if (!table.readable) return "this role cannot read it";
  if (!hasKey(table)) return "no key: make it { name, appendOnly: true }, or give it replica identity full";
  return "not captured yet";
}

export function appModule({ name, variable, captured, left, sample }: InitPlan): string {
  const lines = captured.map((table) => `    ${JSON.stringify(nameOf(table))},`);
  const others = left.map(({ table, reason }) => `    // ${JSON.stringify(nameOf(table))}, // ${reason}`);
  const source = `export const ${name} = postgres("${name}", {
  url: process.env.${variable} ?? "", // in .env
  tables: [
${[...lines, ...others].join("\n")}
  ],
});
`;
  if (sample === null) return `import { postgres } from "millrace";\n\n${source}`;
  return `import { postgres, sql, view } from "millrace";\n\n${source}\n${sampleView(name, sample)}`;
}

function sampleView(source: string, table: CatalogueTable): string {
  const key = keyOf(table).map((column) => column.name);
  const rest = table.columns.filter((column) => !key.includes(column.name) && !column.generated);
  const columns = [...key, ...rest.map((column) => column.name)].slice(0, Math.max(sampleColumnsMax, key.length));
  const view = viewName(table.table);
  const constant = view.replaceAll(/_+([a-z0-9])/g, (_, char: string) => char.toUpperCase());
  const keyText = key.length === 1 ? JSON.stringify(key[0]) : `[${key.map((one) => JSON.stringify(one)).join(", ")}]`;
  return `// A query that is kept up to date: inner joins, union all, count, sum and avg are understood.
export const ${reserved.test(constant) || constant === source ? `${constant}View` : constant} = view(
  "${view}",
  sql\`
    select ${columns.map((column) => escapeTemplate(`t.${identifier(column)}`)).join(", ")}
    from \${${referenceTo(source, table)}} t\`,
  { key: ${keyText} },
);
`;
}

/** As PostgreSQL's quote_ident, and as a template literal takes it. */
function identifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !sqlWords.has(name) ? name : quote(name);
}

/** Column names that PostgreSQL does not take without quotes after a dot are none; these merely read badly. */
const sqlWords = new Set(["select", "from", "where", "group", "order", "user", "table", "default", "end", "key"]);

function escapeTemplate(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("`", "\\`").replaceAll("${", "\\${");
}

function referenceTo(source: string, table: CatalogueTable): string {
  const name = nameOf(table);
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `${source}.${name}` : `${source}[${JSON.stringify(name)}]`;
}

function viewName(table: string): string {
  const small = table
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]+/g, "_")
    .replaceAll(/^[^a-z]+|_+$/g, "")
    .slice(0, 36);
  return `${small || "sample"}_sample`;
}

function keyOf(table: CatalogueTable): CatalogueColumn[] {
  return table.columns.filter((column) => column.primaryKey);
}

export function packageJson(folderName: string, dependency: string): string {
  const name =
    folderName
      .toLowerCase()
      .replaceAll(/[^a-z0-9-]+/g, "-")
      .replaceAll(/^-+|-+$/g, "") || "app";
  const content = {
    name: name === "millrace" ? "millrace-app" : name,
    private: true,
    type: "module",
    scripts: { dev: "millrace dev", start: "millrace start", check: "millrace check app.ts" },
    dependencies: { millrace: dependency },
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** In single quotes, in which nothing has a meaning but themselves. */
export function environmentLine(variable: string, url: string): string {
  return `${variable}=${url.includes("'") ? `"${url}"` : `'${url}'`}\n`;
}

export const ignored: readonly string[] = ["node_modules/", ".millrace/", ".env"];

import { relative, resolve } from "node:path";
import { MillraceError } from "../../base/errors.ts";
import { arrange } from "../../catalog/collect.ts";
import type { Definition } from "../../catalog/definitions.ts";
import { topicTables } from "../../catalog/topic-table.ts";
import type { SchemaFile } from "../../schema/table-shape.ts";
import { checkViews, knowsTables } from "../check-views.ts";
import { type CommandContext, type CommandModule, settingsIn } from "../command.ts";
import { loadDefinitions } from "../load-module.ts";
import { rowTypes } from "../row-types.ts";
import { readSchemaFile, readText, schemaPaths, writeChanged } from "../schema-file.ts";

export const typesCommand: CommandModule = (program, context) => {
  program
    .command("types [app.ts]")
    .description("write millrace-env.d.ts, the row types of tables, topics and views, from millrace-schema.json")
    .option("--check", "write nothing; fail when the file is not up to date")
    .addHelpText("after", "\nExample:\n  $ millrace types app.ts --check")
    .action((file: string | undefined, { check }: { check?: true }) =>
      types(file ?? "app.ts", check === true, context),
    );
};

async function types(file: string, check: boolean, { terminal, directory, clock }: CommandContext): Promise<void> {
  const path = resolve(directory, file);
  const paths = schemaPaths(path);
  settingsIn(resolve(path, ".."));
  const definitions = await loadDefinitions(path, clock);
  const schema = readSchemaFile(paths.schema);
  await refuseStale(definitions, schema, file);
  const arranged = arrange(definitions);
  const text = rowTypes(schema, topicTables(arranged), arranged.views);
  const named = relative(directory, paths.types);
  if (!check) {
    terminal.note(`${named} ${writeChanged(paths.types, text) ? "written" : "is up to date"}`);
  } else if (readText(paths.types) !== text) {
    throw new MillraceError("SCHEMA_STALE", `${named} is not what millrace-schema.json says`, {
      hint: `Run millrace types ${file}, and commit the file.`,
    });
  } else {
    terminal.note(`${named} is up to date`);
  }
}

/** Columns of views have the types that the store gave them, which only `dev` learns. */
async function refuseStale(definitions: readonly Definition[], schema: SchemaFile, file: string): Promise<void> {
  const hint = "Run millrace dev once, and commit millrace-schema.json and millrace-env.d.ts, which it writes.";
  const refuse = (what: string): never => {
    throw new MillraceError("SCHEMA_STALE", `millrace-schema.json ${what}`, { hint });
  };
  if (!knowsTables(schema.tables, definitions)) refuse(`lacks tables that ${file} names`);
  for (const { view, hash, error } of await checkViews(definitions, schema.tables, schema.views)) {
    if (error !== null) throw error;
    const known = schema.views.find(({ name }) => name === view);
    if (known === undefined) refuse(`lacks view "${view}"`);
    else if (known.hash !== hash) refuse(`has view "${view}" as it was before its definition changed`);
  }
}

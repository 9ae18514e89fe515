import { resolve } from "node:path";
import { MillraceError } from "../../base/errors.ts";
import { knowsTables, viewsOf } from "../check-views.ts";
import { type CommandContext, type CommandModule, settingsIn } from "../command.ts";
import { loadDefinitions } from "../load-module.ts";
import { rowTypes } from "../row-types.ts";
import { readSchemaFile, readText, schemaPaths, writeChanged } from "../schema-file.ts";

export const typesCommand: CommandModule = (program, context) => {
  program
    .command("types [app.ts]")
    .description("write millrace-env.d.ts, the row types of tables and views, from millrace-schema.json")
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
  const views = viewsOf(definitions).every(({ name }) => schema.views.some((view) => view.name === name));
  if (!views || !knowsTables(schema.tables, definitions)) {
    throw new MillraceError("SCHEMA_STALE", `${paths.schema} lacks tables or views that ${file} defines`, {
      hint: "Run millrace dev once: it writes the file when the source is connected.",
    });
  }
  const text = rowTypes(schema);
  if (!check) {
    terminal.note(`${paths.types} ${writeChanged(paths.types, text) ? "written" : "is up to date"}`);
  } else if (readText(paths.types) !== text) {
    throw new MillraceError("SCHEMA_STALE", `${paths.types} is not what millrace-schema.json says`, {
      hint: `Run millrace types ${file}, and commit the file.`,
    });
  }
}

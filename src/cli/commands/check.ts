import { dirname, relative, resolve } from "node:path";
import { MillraceError } from "../../base/errors.ts";
import { arrange } from "../../catalog/collect.ts";
import { type CheckedView, checkViews, knowsTables } from "../check-views.ts";
import { type CommandContext, type CommandModule, printJson, settingsIn } from "../command.ts";
import { printFailure } from "../failure.ts";
import { loadDefinitions } from "../load-module.ts";
import { printNumber } from "../quantity.ts";
import { readSchemaFile, schemaPaths } from "../schema-file.ts";

const noSchema = { tables: [], views: [] };

export const checkCommand: CommandModule = (program, context) => {
  program
    .command("check [app.ts]")
    .description("check the definitions of a module against millrace-schema.json, without a database")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExample:\n  $ millrace check app.ts")
    .action((file: string | undefined, { json }: { json?: true }) => check(file ?? "app.ts", json === true, context));
};

async function check(file: string, json: boolean, context: CommandContext): Promise<void> {
  const { terminal, directory, clock } = context;
  const path = resolve(directory, file);
  settingsIn(dirname(path));
  const definitions = await loadDefinitions(path, clock);
  const { sources, webhooks, topics, views } = arrange(definitions);
  const { tables, views: known } = sources.length > 0 ? readSchemaFile(schemaPaths(path).schema) : noSchema;
  if (!knowsTables(tables, sources)) {
    throw new MillraceError(
      "SCHEMA_STALE",
      `${relative(directory, schemaPaths(path).schema)} lacks tables that ${file} names`,
      {
        hint: "Run millrace dev once: it writes the file when the source is connected.",
      },
    );
  }
  const checked = await checkViews(definitions, tables, known);
  if (json) printJson(terminal, { items: checked.map(resultJson), next: null });
  for (const { view, class: kind, key, error, warnings } of checked) {
    if (error !== null) context.fail(printFailure(terminal, error));
    else if (!json)
      terminal.print(
        `${terminal.style("green", "ok")}  view ${view} (${kind ?? "not checked"}, ${key === null ? "no key: rows may be equal" : `key ${key.join(", ") || "none: one row"}`})`,
      );
    if (!json) for (const text of warnings) terminal.print(`    ${terminal.style("yellow", "warning")}  ${text}`);
  }
  if (json) return;
  const counts = [
    printNumber(sources.length, "source"),
    ...(webhooks.length > 0 ? [printNumber(webhooks.length, "webhook")] : []),
    ...(topics.length > 0 ? [printNumber(topics.length, "topic")] : []),
    printNumber(views.length, "view"),
  ];
  terminal.print(counts.join(", "));
}

function resultJson({ view, class: kind, key, error, warnings }: CheckedView): Record<string, unknown> {
  return {
    view,
    class: kind,
    key,
    warnings,
    error: error && { code: error.code, message: error.message, hint: error.hint ?? null, ...error.details },
  };
}
